"""Run the analyses: one notebook per task, cell type and fold that it asks for."""

ANALYSES = [kind for kind, job in KINDS.items() if job.notebook and "study" not in job.parameters and kind not in TRAINING]

for kind in ANALYSES:
    key = folder_of(kind)

    rule:
        name:
            kind
        input:
            files_of(key),
        output:
            f"{key}/metrics.json",
            report(directory(f"{key}/figures"), patterns=["{name}.png"], category=kind, labels={**labels_of(kind), "figure": "{name}"}),
            report(f"{key}/notebook.html", category=kind, labels={**labels_of(kind), "figure": "notebook"}),
            f"{key}/results.sha256",
            f"{key}/provenance.json",
        log:
            notebook=f"{key}/notebook.ipynb",
            text=log_of(key),
        message:
            re.sub(r"{(\w+)}", r"{wildcards.\1}", key)
        params:
            key=key,
            settings=of(key, "settings"),
            code=code(key),
            threads=of(key, "threads"),
        threads: of(key, "threads")
        resources:
            mem_mb=of(key, "memory_mb"),
            runtime=of(key, "minutes"),
        shell:
            RUN_JOB
