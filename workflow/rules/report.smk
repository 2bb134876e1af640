"""Run the notebooks that read the whole study, such as its report, and describe the study for other tools."""

REPORTS = [kind for kind, job in KINDS.items() if job.notebook and "study" in job.parameters]

for kind in REPORTS:
    key = folder_of(kind)

    rule:
        name:
            kind
        input:
            files_of(key),
        output:
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


localrules:
    crate,


rule crate:
    input:
        [job.record for job in JOBS.values()],
    output:
        "ro-crate-metadata.json",
        "codecheck.yml",
        "ro-crate.provenance.json",
    log:
        **logs_of("crate", notebook=False),
    message:
        "crate"
    params:
        study=hash_of(DESCRIBED),
    shell:
        "{PYTHON} -c 'from chromoformer.cli import main; main()' describe-study . > {log.text} 2>&1"
