"""A store that was made before is kept only if its settings and files are those that are asked for."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import run_notebook
from papermill.exceptions import PapermillExecutionError
from random_data import make_data, write_bigwig

from chromoformer.data import build, channels
from chromoformer.data.build import build_store
from chromoformer.data.channels import add_channel
from chromoformer.data.compartments import write_compartment_track
from chromoformer.data.manifest import Channel, read_manifest
from chromoformer.data.store import Store
from chromoformer.errors import InputError
from chromoformer.genome import read_chrom_sizes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def data(tmp_path):
    kinds = {"annotation": "gtf", "tracks": "bigwig", "expression": "table", "contacts": "pairs"}
    return make_data(tmp_path / "data", 0, **kinds)


def kept(manifest, out) -> bool:
    "Return whether the store is the same file after it is asked for again."
    before = out.stat().st_mtime_ns
    build_store(manifest, out, keep=True, progress=False)
    return out.stat().st_mtime_ns == before


def changed_channel(manifest, **update):
    first, *others = manifest.channels
    return manifest.model_copy(update={"channels": [first.model_copy(update=update), *others]})


@pytest.fixture
def built(data, tmp_path):
    out = tmp_path / "out" / "cells.h5"
    build_store(data.save(), out, keep=True, progress=False)  # nothing to keep yet
    return out


def test_an_unchanged_store_is_kept_and_without_keep_refused(data, built):
    assert kept(data.save(), built)
    with pytest.raises(InputError, match="exists already"):
        build_store(data.save(), built, progress=False)
    before = built.stat().st_mtime_ns
    build_store(data.save(), built, keep=True, force=True, progress=False)
    assert built.stat().st_mtime_ns != before


def test_licences_addresses_checksums_and_places_do_not_matter(data, built, tmp_path):
    data.manifest |= {"licence": "CC0", "citation": "nobody", "note": "a test", "name": "the same cells"}
    digest = Store(built).inputs["annotation"]["sha256"]
    data.manifest["annotation"] |= {"url": "https://example.org/a", "sha256": digest, "note": "genes"}
    data.manifest["extra"] = {"map": {"path": "not/there.cool"}}
    assert kept(data.save(), built)
    shutil.copytree(data.folder, tmp_path / "moved")
    assert kept(tmp_path / "moved" / "cells.yaml", built)
    data.folder.rename(tmp_path / "gone")
    assert kept(tmp_path / "gone" / "cells.yaml", built)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda one: one.model_copy(update={"window": 6000}), "window"),
        (lambda one: one.model_copy(update={"bin_sizes": [500, 100]}), "bin_sizes"),
        (lambda one: one.model_copy(update={"folds": one.folds | {1: ["chr1", "chr3"]}}), "folds.1"),
        (
            lambda one: one.model_copy(
                update={"contacts": one.contacts.model_copy(update={"min_distance": 1})}
            ),
            "contacts.min_distance",
        ),
        (lambda one: one.model_copy(update={"channels": one.channels[::-1]}), "channels"),
        (lambda one: changed_channel(one, name="DNase"), "channels"),
        (lambda one: one.model_copy(update={"expression": None}), "expression"),
    ],
)
def test_other_settings_are_refused_by_name(data, built, change, named):
    wanted = change(read_manifest(data.save()))
    with pytest.raises(InputError, match=rf"other settings \([^)]*\b{named}\b") as error:
        build_store(wanted, built, keep=True, progress=False)
    assert error.value.file == built and "delete it" in error.value.fix
    assert kept(data.save(), built)


def test_a_changed_input_is_refused_even_with_its_old_size(data, built):
    text = data.path("expression").read_text()
    data.path("expression").write_text(text.replace("512.25", "512.26"))
    with pytest.raises(InputError, match=r"other files \(expression\)"):
        build_store(data.save(), built, keep=True, progress=False)
    data.path("expression").write_text(text)
    assert kept(data.save(), built)  # the time of modification alone does not matter


def test_a_killed_build_is_made_again(data, built):
    built.with_suffix(".provenance.json").unlink()
    assert not kept(data.save(), built)
    assert kept(data.save(), built)


def test_a_store_that_was_changed_by_hand_or_made_otherwise_is_refused(data, built, tmp_path):
    content = built.read_bytes()
    built.write_bytes(content[:-1] + b"x")
    with pytest.raises(InputError, match="changed after it was made"):
        build_store(data.save(), built, keep=True, progress=False)
    built.write_bytes(content)
    assert kept(data.save(), built)
    source = Channel(name="DNase", kind="bigwig", path=str(data.path("H3K27ac")))
    sizes = read_chrom_sizes(data.path("chrom_sizes"))
    add_channel(built, source, tmp_path / "more.h5", sizes)
    with pytest.raises(InputError, match="another kind of store"):
        build_store(data.save(), tmp_path / "more.h5", keep=True, progress=False)


def test_the_group_of_a_cooler_is_a_setting(tmp_path):
    data = make_data(tmp_path / "data", 1, contacts="cool")
    wanted = read_manifest(data.save())
    build_store(wanted, tmp_path / "cells.h5", progress=False)
    path = f"{wanted.contacts.path}::/"
    other = wanted.model_copy(update={"contacts": wanted.contacts.model_copy(update={"path": path})})
    with pytest.raises(InputError, match=r"other settings \(contacts.path\)"):
        build_store(other, tmp_path / "cells.h5", keep=True, progress=False)


def test_a_store_of_the_published_layout_is_kept(tmp_path):
    data = make_data(tmp_path / "data", 2, annotation="metadata")
    out = tmp_path / "cells.h5"
    build_store(data.save(), out, progress=False)
    assert kept(data.save(), out)
    array = next((data.folder / "regions").iterdir())
    np.save(array, np.load(array) + 1)
    with pytest.raises(InputError, match="other files"):
        build_store(data.save(), out, keep=True, progress=False)


# ---- inputs that change while they are read ----


def edited(function, edit):
    "Return a function that edits a file after its work, as another program would."

    def changed(*arguments, **options):
        found = function(*arguments, **options)
        edit()
        return found

    return changed


@pytest.mark.parametrize("source", ["annotation", "expression", "contacts", "H3K4me3"])
def test_an_input_that_changes_during_the_build_is_refused(data, built, monkeypatch, source):
    tracks = {channel["name"]: channel for channel in data.manifest["channels"]}
    entry = data.manifest.get(source) or tracks[source]
    path = data.folder / entry["path"]
    before = built.read_bytes()
    read_signal = build.read_signal
    monkeypatch.setattr(build, "read_signal", edited(read_signal, path.touch))
    build_store(data.save(), built, force=True, progress=False)
    assert built.read_bytes() == before
    append = partial(path.write_bytes, path.read_bytes() + b"\n")
    monkeypatch.setattr(build, "read_signal", edited(read_signal, append))
    with pytest.raises(InputError, match=rf"{path.name}, {source}: this file was changed.*\n.*wait"):
        build_store(data.save(), built, force=True, progress=False)
    assert built.read_bytes() == before


def test_a_track_that_changes_while_it_is_added_is_refused(data, built, tmp_path, monkeypatch):
    channel = read_manifest(data.save()).channels[0].model_copy(update={"name": "more"})
    path = Path(channel.path)
    monkeypatch.setattr(channels, "channel_sums", edited(channels.channel_sums, path.unlink))
    with pytest.raises(InputError, match=f"{path.name}, more: this file was changed"):
        add_channel(built, channel, tmp_path / "more.h5", read_chrom_sizes(data.path("chrom_sizes")))
    assert not (tmp_path / "more.h5").exists()


# ---- one more channel ----


def test_an_added_channel_is_kept_until_anything_changes(data, built, tmp_path):
    sizes = read_chrom_sizes(data.path("chrom_sizes"))
    flat = pd.DataFrame({"chrom": list(sizes), "start": 0, "end": list(sizes.values()), "value": 3.0})
    write_bigwig(tmp_path / "flat.bigWig", sizes, flat)
    channel = Channel(name="flat", kind="bigwig", path=str(tmp_path / "flat.bigWig"))
    out = tmp_path / "more.h5"
    made = add_channel(built, channel, out, sizes, keep=True)
    before = out.stat().st_mtime_ns
    again = add_channel(built, channel.model_copy(update={"note": "flat"}), out, sizes, keep=True)
    assert out.stat().st_mtime_ns == before and again.channels == made.channels
    with pytest.raises(InputError, match="exists already"):
        add_channel(built, channel, out, sizes)
    with pytest.raises(InputError, match=r"other settings \(.*name.*\)"):
        add_channel(built, channel.model_copy(update={"name": "even"}), out, sizes, keep=True)
    with pytest.raises(InputError, match=r"other settings \(channels\)"):
        add_channel(Store(built, channels=["H3K4me3"]), channel, out, sizes, keep=True)
    write_bigwig(tmp_path / "flat.bigWig", sizes, flat.assign(value=4.0))
    with pytest.raises(InputError, match=r"other files \(flat\)"):
        add_channel(built, channel, out, sizes, keep=True)
    write_bigwig(tmp_path / "flat.bigWig", sizes, flat)
    add_channel(built, channel, out, sizes, keep=True)
    data.manifest["window"] = 6000
    build_store(data.save(), built, force=True, progress=False)
    with pytest.raises(InputError, match=r"other files \(store\)"):
        add_channel(built, channel, out, sizes, keep=True)
    assert out.stat().st_mtime_ns == before


def test_the_track_of_compartments_is_the_same_each_time(tmp_path):
    sizes = {"chr1": 950, "chr2": 500}
    table = pd.DataFrame(
        {"chrom": ["chr1", "chr1", "chr2"], "start": [0, 500, 0], "end": [500, 950, 500], "pc1": [1, -1, 0.5]}
    )
    one = write_compartment_track(tmp_path / "one.bigWig", table, sizes).read_bytes()
    assert write_compartment_track(tmp_path / "two.bigWig", table, sizes).read_bytes() == one
    other = table.assign(pc1=-table["pc1"])
    assert write_compartment_track(tmp_path / "two.bigWig", other, sizes).read_bytes() != one


# ---- in a notebook ----


@pytest.mark.slow
def test_a_window_whose_store_was_made_otherwise_is_not_called_impossible(data, built, tmp_path):
    common = {"store": str(built), "manifest": str(data.save()), "widths": [8000, 9001], "reference": 8000}
    small = {"embedding": {"width": 16}, "pairwise": {"width": 16}, "regulation": {"width": 16}}
    common |= {
        "held_out": [1],
        "seeds": 1,
        "processes": 1,
        "draws": 10,
        "recipe": {"epochs": 1, "batch_size": 4},
    }
    out = tmp_path / "window"
    found = run_notebook("window", out, **common, network=small)
    assert list(found["refused"]) == ["9.001 kb"]
    before = (out / "stores" / "8000.h5").stat().st_mtime_ns
    run_notebook("window", out, **common, network=small)
    assert (out / "stores" / "8000.h5").stat().st_mtime_ns == before
    described = yaml.safe_load(data.save().read_text())
    described["contacts"]["top"] = 1
    (data.folder / "other.yaml").write_text(yaml.safe_dump(described))
    other = common | {"manifest": str(data.folder / "other.yaml")}
    with pytest.raises(PapermillExecutionError, match=r"other settings \(contacts.top\)"):
        run_notebook("window", out, **other, network=small)
