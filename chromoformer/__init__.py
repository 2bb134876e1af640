__version__ = "0.1.0"

import os

# PyTorch's threads wait for each other by spinning. Where something else wants a core, too, that makes every operation tens of
# times slower; after a thousand turns a thread had better sleep. Read once, when torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def __getattr__(name: str):
    "Import `browse` when it is first asked for, so that `import chromoformer` stays fast."
    if name == "browse":
        from chromoformer.plots.browse import browse

        return browse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
