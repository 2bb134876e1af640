"""Get the data: simulate them, or download the files of the manifests."""

if "toy" in KINDS:

    rule toy:
        output:
            [f"toy/{name}" for name in STUDY.cell_types.values() if not name.endswith(".h5")],
            "toy.sha256",
            "toy.provenance.json",
        log:
            text=log_of("toy"),
        message:
            "toy"
        params:
            key="toy",
            settings=JOBS["toy"].settings,
            code=code_of("toy", None),
            threads=JOBS["toy"].threads,
        resources:
            mem_mb=JOBS["toy"].memory_mb,
            runtime=JOBS["toy"].minutes,
        shell:
            RUN_JOB


if "fetch" in KINDS:
    for job in JOBS.values():  # a record of files that were deleted since is no longer true
        if RUNS and job.kind == "fetch" and Path(job.record).exists():
            from chromoformer.data.manifest import read_manifest

            if missing_files(read_manifest(job.parameters["manifest"], job.parameters["data"])):
                Path(job.record).unlink()

    localrules:
        fetch,  # nodes of a cluster often have no internet access

    rule fetch:
        input:
            files_of("fetch/{cell_type}"),
        output:
            "fetch/{cell_type}.provenance.json",
        log:
            text=log_of("fetch/{cell_type}"),
        message:
            "fetch/{wildcards.cell_type}"
        params:
            key="fetch/{cell_type}",
            settings=of("fetch/{cell_type}", "settings"),
            threads=of("fetch/{cell_type}", "threads"),
        resources:
            network=1,
        shell:
            RUN_JOB
