"""Build the store of each cell type: the bins of all tracks around genes and their distal elements."""

if "stores" in KINDS:

    rule store:
        input:
            files_of("stores/{cell_type}.h5"),
        output:
            "stores/{cell_type}.h5",
            "stores/{cell_type}.provenance.json",
        log:
            **logs_of("stores/{cell_type}.h5", notebook=False),
        message:
            message_of("stores/{cell_type}.h5")
        params:
            **params_of("stores/{cell_type}.h5"),
        threads: of("stores/{cell_type}.h5", "threads")
        resources:
            **resources_of("stores/{cell_type}.h5"),
        shell:
            RUN_JOB
