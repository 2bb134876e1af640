"""Build the store of each cell type: the bins of all tracks around genes and their distal elements."""

if "stores" in KINDS:

    rule store:
        input:
            files_of("stores/{cell_type}.h5"),
        output:
            "stores/{cell_type}.h5",
            "stores/{cell_type}.provenance.json",
        log:
            text=log_of("stores/{cell_type}.h5"),
        message:
            "stores/{wildcards.cell_type}.h5"
        params:
            key="stores/{cell_type}.h5",
            settings=of("stores/{cell_type}.h5", "settings"),
            code=code("stores/{cell_type}.h5"),
            threads=of("stores/{cell_type}.h5", "threads"),
        threads: of("stores/{cell_type}.h5", "threads")
        resources:
            mem_mb=of("stores/{cell_type}.h5", "memory_mb"),
            runtime=of("stores/{cell_type}.h5", "minutes"),
        shell:
            RUN_JOB
