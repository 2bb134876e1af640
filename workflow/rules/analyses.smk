"""Run the analyses: one notebook per task, cell type and fold that it asks for."""

ANALYSES = [kind for kind, job in KINDS.items() if job.notebook and not (kind in TRAINING or "study" in job.parameters)]

for kind in ANALYSES:
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
