"""Write the schema of study files, which the Snakefile validates them with: python tests/study_schema.py"""

from pathlib import Path

import yaml

from chromoformer.studies.definition import Study

SCHEMA = Path(__file__).resolve().parents[1] / "workflow" / "schemas" / "study.schema.yaml"


def schema() -> str:
    "Return the schema: that of the class `Study`, and `train:` is read as `train: {}`."
    content = Study.model_json_schema()
    analyses = content["properties"]["analyses"]
    analyses["additionalProperties"] = {"anyOf": [analyses["additionalProperties"], {"type": "null"}]}
    del content["description"]
    for part in content["$defs"].values():
        del part["description"]
    head = "# Written by tests/study_schema.py from chromoformer.studies.definition.Study.\n"
    return head + yaml.safe_dump(
        {"$schema": "https://json-schema.org/draft/2020-12/schema"} | content, width=110
    )


if __name__ == "__main__":
    SCHEMA.write_text(schema())
