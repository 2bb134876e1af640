"""Get the data: simulate them, or download the files of the manifests."""

if "toy" in KINDS:

    rule toy:
        input:
            files_of("toy"),
        output:
            [f"toy/{name}" for name in STUDY.cell_types.values() if not name.endswith(".h5")],
            "toy.sha256",
            "toy.provenance.json",
        log:
            **logs_of("toy", notebook=False),
        message:
            message_of("toy")
        params:
            **params_of("toy"),
        threads: of("toy", "threads")
        resources:
            **resources_of("toy"),
        shell:
            RUN_JOB


if "fetch" in KINDS:
    localrules:
        fetch,  # nodes of a cluster often have no internet access

    rule fetch:
        input:
            files_of("fetch/{cell_type}"),
        output:
            "fetch/{cell_type}.provenance.json",
        log:
            **logs_of("fetch/{cell_type}", notebook=False),
        message:
            message_of("fetch/{cell_type}")
        params:
            **params_of("fetch/{cell_type}"),
        threads: of("fetch/{cell_type}", "threads")
        resources:
            network=1,
        shell:
            RUN_JOB
