# The command `chromoformer` with the package versions of constraints.txt, for CPUs:
#
#   docker build -t chromoformer .
#   docker run --rm -v "$PWD":/work chromoformer run toy --cores 2
#
# Apptainer: apptainer build chromoformer.sif docker-daemon://chromoformer:latest
FROM python:3.11-slim

# cooltools has no wheel for every platform: a compiler builds it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/chromoformer
COPY . .
# This index has PyTorch without CUDA, which saves 4 GB. For a GPU, give another one with --build-arg.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --constraint constraints.txt . \
    && chromoformer --help > /dev/null

# Results belong to the user of the host if the container runs with --user "$(id -u):$(id -g)".
ENV HOME=/tmp
WORKDIR /work
ENTRYPOINT ["chromoformer"]
CMD ["--help"]
