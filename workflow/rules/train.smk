"""Train one network per task, cell type and held-out fold."""

TRAINING = [kind for kind, job in KINDS.items() if job.notebook and Path(job.notebook).stem == "train"]
MODEL = ["predictions.parquet", "model.safetensors", "config.json", "history.csv", "README.md"]

for kind in TRAINING:
    key = folder_of(kind)

    rule:
        name:
            kind
        input:
            files_of(key),
        output:
            [f"{key}/{name}" for name in MODEL],
            *pages_of(kind),
        log:
            **logs_of(key),
        message:
            message_of(key)
        params:
            **params_of(key),
        threads: of(key, "threads")
        resources:
            **resources_of(key),
        shell:
            RUN_JOB
