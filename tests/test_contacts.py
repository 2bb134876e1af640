"Contacts from every source, and the rules that select pCREs from them."

import collections
import gzip
import os
import pickle
import time
import warnings
from pathlib import Path

import cooler
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromoformer.data import coolers
from chromoformer.data.contacts import SELECTING, load_plain_pickle, read_contacts, select_pcres
from chromoformer.data.coolers import CONTACT
from chromoformer.data.expression import read_expression, read_genes
from chromoformer.errors import InputError
from chromoformer.genome import parse_region, read_chrom_sizes

DATA = os.environ.get("CHROMOFORMER_DATA", "")
needs_data = pytest.mark.skipif(
    not DATA, reason="CHROMOFORMER_DATA is not set: the shared real data are not here"
)
SIZES = {"chr1": 100_000, "chr2": 50_000}
PCRE = ["gene_id", "chrom", "start", "end", "score", "rank"]


def gene_table(**tss):
    return pd.DataFrame({"gene_id": list(tss), "chrom": "chr1", "tss": list(tss.values())})


def contact_table(*rows):
    return pd.DataFrame([("chr1", *row) for row in rows], columns=CONTACT)


def starts(pcres, gene="G"):
    return pcres[pcres.gene_id == gene].start.tolist()


# -- rules of selection --------------------------------------------------------------------------------------


def test_the_interval_that_contains_the_tss_makes_the_other_one_a_pcre():
    contacts = contact_table(
        (1000, 2000, 5000, 6000, 2.0), (8000, 9000, 1000, 2000, 3.0), (2000, 3000, 7000, 7500, 9.0)
    )
    pcres = select_pcres(gene_table(G=1500), contacts)
    assert pcres.values.tolist() == [["G", "chr1", 8000, 9000, 3.0, 1], ["G", "chr1", 5000, 6000, 2.0, 2]]
    assert list(pcres) == PCRE


@pytest.mark.parametrize("tss, found", [(999, 0), (1000, 1), (1999, 1), (2000, 0)])
def test_intervals_are_half_open(tss, found):
    assert len(select_pcres(gene_table(G=tss), contact_table((1000, 2000, 5000, 6000, 2.0)))) == found


@pytest.mark.parametrize("tss, found", [(979, 0), (980, 1), (2019, 1), (2020, 0)])
def test_a_tss_within_tss_distance_of_an_interval_counts_as_in_it(tss, found):
    contacts = contact_table((1000, 2000, 5000, 6000, 2.0))
    assert len(select_pcres(gene_table(G=tss), contacts, tss_distance=20)) == found


def test_an_interval_that_holds_the_tss_is_never_its_pcre():
    contacts = contact_table(
        (1000, 2000, 1000, 2000, 5.0), (1000, 2000, 1200, 3000, 4.0), (1000, 2000, 2000, 3000, 3.0)
    )
    assert starts(select_pcres(gene_table(G=1500), contacts)) == [2000]
    assert (
        starts(select_pcres(gene_table(G=1900), contacts, tss_distance=100)) == []
    )  # now the third holds it too
    assert starts(select_pcres(gene_table(G=1900), contacts, tss_distance=99)) == [2000]


def test_contact_scores_must_exceed_min_score_and_may_be_negative():
    contacts = contact_table(
        (1000, 2000, 5000, 6000, 1.5), (1000, 2000, 7000, 8000, 1.5001), (1000, 2000, 9000, 9500, -2.0)
    )
    assert starts(select_pcres(gene_table(G=1500), contacts)) == [7000]
    assert starts(select_pcres(gene_table(G=1500), contacts, min_score=-2.1)) == [7000, 5000, 9000]


def test_a_pcre_may_be_as_long_as_max_length():
    contacts = contact_table(
        (1000, 2000, 5000, 45_000, 2.0), (1000, 2000, 5000, 45_001, 3.0), (1000, 60_000, 70_000, 71_000, 4.0)
    )
    pcres = select_pcres(gene_table(G=1500), contacts)
    assert pcres[["start", "end"]].values.tolist() == [
        [70_000, 71_000],
        [5000, 45_000],
    ]  # the TSS's own may be longer
    assert starts(select_pcres(gene_table(G=1500), contacts, max_length=1000)) == [70_000]


@pytest.mark.parametrize("min_distance, found", [(0, [2000, 500]), (500, [2000]), (501, [])])
def test_min_distance_counts_from_the_tss_to_the_nearest_base(min_distance, found):
    contacts = contact_table((1000, 2000, 2000, 3000, 3.0), (1000, 2000, 500, 1002, 2.0))
    assert (
        starts(select_pcres(gene_table(G=1500), contacts, min_distance=min_distance)) == found
    )  # 500 and 499 bp


def test_a_pcre_that_is_reached_several_times_keeps_its_largest_score():
    contacts = contact_table(
        (1000, 2000, 5000, 6000, 2.0), (5000, 6000, 1000, 2000, 4.0), (1200, 1700, 5000, 6000, 3.0)
    )
    assert select_pcres(gene_table(G=1500), contacts)[["start", "score"]].values.tolist() == [[5000, 4.0]]


def test_the_eight_best_are_taken_and_ties_are_broken_by_the_string():
    contacts = contact_table(*((1000, 2000, start, start + 500, 2.0) for start in range(3000, 13_000, 1000)))
    pcres = select_pcres(gene_table(G=1500), contacts)
    assert starts(pcres) == [
        10_000,
        11_000,
        12_000,
        3000,
        4000,
        5000,
        6000,
        7000,
    ]  # "chr1:10000" < "chr1:3000"
    assert pcres["rank"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert starts(select_pcres(gene_table(G=1500), contacts, top=2)) == [10_000, 11_000]


def test_genes_keep_their_order_and_genes_of_one_fragment_share_its_pcres():
    contacts = contact_table((1000, 2000, 5000, 6000, 2.0))
    pcres = select_pcres(gene_table(Z=1500, A=5500, M=40_000, B=1500), contacts)
    assert pcres[["gene_id", "start"]].values.tolist() == [["Z", 5000], ["A", 1000], ["B", 5000]]


def test_contacts_of_another_chromosome_do_not_count():
    contacts = contact_table((1000, 2000, 5000, 6000, 2.0)).assign(chrom="chr2")
    assert select_pcres(gene_table(G=1500), contacts).empty


def test_further_tsss_add_their_contacts_including_the_promoters_own_fragment():
    contacts = contact_table(
        (1000, 2000, 9000, 9500, 2.0),
        (1000, 2000, 5000, 6000, 2.0),
        (5000, 6000, 20_000, 21_000, 3.0),
        (5000, 6000, 9000, 9500, 2.5),
    )
    more = pd.DataFrame({"gene_id": ["G", "G", "other"], "tss": [5500, 1500, 7]})
    pcres = select_pcres(gene_table(G=1500), contacts, tss=more)
    assert pcres[["start", "score"]].values.tolist() == [[20_000, 3.0], [9000, 2.5], [1000, 2.0], [5000, 2.0]]
    assert starts(select_pcres(gene_table(G=1500), contacts)) == [5000, 9000]


def test_without_contacts_the_table_is_empty_and_keeps_its_types():
    empty = select_pcres(gene_table(G=1500), read_contacts("none", None, SIZES))
    full = select_pcres(gene_table(G=1500), contact_table((1000, 2000, 5000, 6000, 2.0)))
    assert empty.empty and list(empty) == PCRE
    assert (
        [kind.kind for kind in empty.dtypes[2:]]
        == [kind.kind for kind in full.dtypes[2:]]
        == ["i", "i", "f", "i"]
    )
    assert select_pcres(gene_table(G=70_000), contact_table((1000, 2000, 5000, 6000, 2.0))).empty
    assert select_pcres(gene_table(), contact_table((1000, 2000, 5000, 6000, 2.0))).empty


def test_wrong_gene_tables_are_refused():
    with pytest.raises(InputError, match="the gene table lacks tss"):
        select_pcres(gene_table(G=5).drop(columns="tss"), contact_table())
    with pytest.raises(InputError, match="listed twice: G"):
        select_pcres(pd.concat([gene_table(G=5)] * 2), contact_table())
    with pytest.raises(InputError, match="top is 0"):
        select_pcres(gene_table(G=5), contact_table(), top=0)


def by_hand(genes, contacts, more, min_score, top, max_length, tss_distance, min_distance, max_distance):
    "Apply the rules one contact at a time, as the reference."
    rows = []
    for gene in genes.itertuples():
        best = {}
        for tss in {gene.tss, *more[more.gene_id == gene.gene_id].tss}:
            for contact in contacts.itertuples():
                a, b = (contact.start_a, contact.end_a), (contact.start_b, contact.end_b)
                for (start, end), other in ((a, b), (b, a)):
                    holds = start - tss_distance <= tss < end + tss_distance
                    gap = (
                        0 if other[0] <= tss < other[1] else min(abs(other[0] - tss), abs(tss - other[1] + 1))
                    )
                    if (
                        contact.chrom == gene.chrom
                        and holds
                        and gap > tss_distance
                        and gap >= min_distance
                        and (max_distance is None or gap <= max_distance)
                        and contact.score > min_score
                        and other[1] - other[0] <= max_length
                    ):
                        best[other] = max(best.get(other, -np.inf), contact.score)
        ranked = sorted(best, key=lambda region: (-best[region], f"{gene.chrom}:{region[0]}-{region[1]}"))[
            :top
        ]
        rows += [
            [gene.gene_id, gene.chrom, *region, best[region], rank] for rank, region in enumerate(ranked, 1)
        ]
    return rows


interval = st.tuples(st.integers(0, 60), st.integers(1, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))
contact_rows = st.tuples(st.sampled_from(["chr1", "chr2"]), interval, interval, st.integers(0, 6)).map(
    lambda row: (row[0], *row[1], *row[2], row[3] / 2)
)
gene_rows = st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 70))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(gene_rows, min_size=1, max_size=5),
    st.lists(contact_rows, max_size=30),
    st.lists(gene_rows, max_size=3),
    st.integers(1, 4),
    st.integers(3, 12),
    st.integers(0, 5),
    st.integers(0, 15),
    st.none() | st.integers(5, 30),
)
def test_selection_equals_the_rules_applied_one_by_one(
    genes, rows, more, top, max_length, tss_distance, min_distance, max_distance
):
    genes = pd.DataFrame(genes, columns=["chrom", "tss"]).assign(
        gene_id=[f"g{number}" for number in range(len(genes))]
    )
    more = pd.DataFrame(
        [(f"g{number}", row[1]) for number, row in enumerate(more)], columns=["gene_id", "tss"]
    )
    contacts = pd.DataFrame(rows, columns=CONTACT).astype({"chrom": "str", "score": float})
    arguments = (1.0, top, max_length, tss_distance, min_distance, max_distance)
    options = dict(zip(SELECTING, arguments))
    assert select_pcres(genes, contacts, tss=more, **options).values.tolist() == by_hand(
        genes, contacts, more, *arguments
    )


# -- pairs and BEDPE -----------------------------------------------------------------------------------------

PAIRS = "fragment_a\tfragment_b\tscore\n"


def written(tmp_path, text, name="pairs.tsv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_pairs_are_read_from_plain_or_gzipped_tsv_and_parquet_in_any_column_order(tmp_path):
    text = PAIRS + "chr1:1000-2000\tchr1:5000-6000\t2.5\n1:0-10\t1:99990-100000\t-1\n"
    expected = [["chr1", 1000, 2000, 5000, 6000, 2.5], ["chr1", 0, 10, 99_990, 100_000, -1.0]]
    contacts = read_contacts("pairs", written(tmp_path, text), SIZES)
    assert contacts.values.tolist() == expected and list(contacts) == CONTACT
    (tmp_path / "pairs.gz").write_bytes(gzip.compress(text.encode()))
    assert read_contacts("pairs", tmp_path / "pairs.gz", SIZES).equals(contacts)
    table = pd.read_csv(tmp_path / "pairs.tsv", sep="\t")[["score", "fragment_b", "fragment_a"]]
    table.to_parquet(tmp_path / "pairs.parquet")
    assert read_contacts("pairs", tmp_path / "pairs.parquet", SIZES).equals(contacts)


def test_contacts_between_chromosomes_are_left_out_with_one_warning_that_counts_them(tmp_path):
    text = PAIRS + "chr1:1-2\tchr2:5-6\t2\n1:1-2\tchr1:5-6\t2\nchr2:1-2\tchr1:5-6\t2\n"
    with pytest.warns(
        UserWarning, match="pairs.tsv: 2 of 3 contacts join two chromosomes and are left out"
    ) as caught:
        assert len(read_contacts("pairs", written(tmp_path, text), SIZES)) == 1
    assert sum("join two chromosomes" in str(warning.message) for warning in caught) == 1


@pytest.mark.parametrize(
    "kind, text", [("pairs", PAIRS + "chr1:1-2\tchr2:5-6\t2\n"), ("bedpe", "chr1\t1\t2\tchr2\t5\t6\t.\t2\n")]
)
def test_a_list_of_trans_contacts_only_has_no_contacts(tmp_path, kind, text):
    with pytest.warns(UserWarning, match="1 of 1 contacts join two chromosomes and are left out"):
        contacts = read_contacts(kind, written(tmp_path, text), SIZES)
    assert contacts.empty
    assert select_pcres(gene_table(G=1), contacts).empty


def test_chromosomes_the_genome_lacks_are_skipped_with_one_warning(tmp_path):
    text = PAIRS + "chr1:1-2\tchr1:5-6\t2\nchrM:1-2\tchrM:5-6\t2\nchr1:1-2\tchrUn:5-6\t2\n"
    with pytest.warns(UserWarning, match=r"2 chromosome names match nothing .*\(chrM, chrUn\)") as caught:
        assert len(read_contacts("pairs", written(tmp_path, text), SIZES)) == 1
    assert len(caught) == 1
    with pytest.raises(InputError, match="no chromosome matches the genome: the file has chrM"):
        read_contacts("pairs", written(tmp_path, PAIRS + "chrM:1-2\tchrM:5-6\t2\n"), SIZES)


@pytest.mark.parametrize(
    "line, message",
    [
        ("chr1:1-2\tchr1:99990-100001\t2", "line 3: chr1:99990-100001 leaves its chromosome"),
        ("chr1:-5-2\tchr1:5-9\t2", "line 3: chr1:-5-2 leaves its chromosome"),
        ("chr1:9-5\tchr1:5-9\t2", "line 3: chr1:9-5 ends at or before its start"),
        ("chr1:5\tchr1:5-9\t2", "line 3: 'chr1:5' is not a fragment\n.*chr1:10000-20000"),
        ("chr1:5-9\t\t2", "line 3: '' is not a fragment"),
        ("chr1:5-9\tchr1:20-30\thigh", "line 3: score 'high' is not a finite number"),
        ("chr1:5-9\tchr1:20-30\tNaN", "line 3: score 'NaN' is not a finite number"),
        ("chr1:5-9\tchr1:20-30", "line 3: expected 3 fields, found 2"),
    ],
)
def test_errors_in_pairs_name_file_and_line(tmp_path, line, message):
    path = written(tmp_path, PAIRS + "chr1:1-2\tchr1:5-6\t2\n" + line + "\n")
    with pytest.raises(InputError, match=message) as caught:
        read_contacts("pairs", path, SIZES)
    assert "pairs.tsv" in str(caught.value) and caught.value.fix


@pytest.mark.parametrize(
    "header",
    [
        "",
        "#chr1\tx1\tx2\tchr2\ty1\ty2\tname\tscore\n",
        "# made by a loop caller\n",
        "chr1\tx1\tx2\tchr2\ty1\ty2\tcolor\tobserved\n",
        "track name=loops\n",
    ],
)
def test_bedpe_scores_are_in_column_8_under_any_header(tmp_path, header):
    text = header + "chr1\t1000\t2000\tchr1\t5000\t6000\t.\t100\n1\t0\t10\t1\t20\t30\tx\t-2.5\t+\t-\tmore\n"
    contacts = read_contacts("bedpe", written(tmp_path, text, "l.bedpe"), SIZES)
    assert contacts.values.tolist() == [
        ["chr1", 1000, 2000, 5000, 6000, 100.0],
        ["chr1", 0, 10, 20, 30, -2.5],
    ]


@pytest.mark.parametrize(
    "line, message",
    [
        ("chr1\t1\t2\tchr1\t5\t6", "line 2: expected 8 fields, found 6"),
        ("chr1\t1\t2\tchr1\t5\t6\tname\t.", "line 2: score '.' is not a finite number"),
        ("chr1\t1.5\t2\tchr1\t5\t6\tname\t1", "line 2: start_a '1.5' is not a whole number"),
        ("chr1\t1\t2\tchr1\t5\t100001\tname\t1", "line 2: chr1:5-100001 leaves its chromosome"),
        ("chr1\t-1\t2\tchr1\t5\t10\tname\t1", "line 2: chr1:-1-2 leaves its chromosome"),
    ],
)
def test_errors_in_bedpe_name_the_line(tmp_path, line, message):
    path = written(tmp_path, "chr1\t1\t2\tchr1\t5\t6\t.\t1\n" + line + "\n", "l.bedpe")
    with pytest.raises(InputError, match=message):
        read_contacts("bedpe", path, SIZES)


def test_unplaced_mates_in_bedpe_are_skipped(tmp_path):
    text = "chr1\t1\t2\tchr1\t5\t6\t.\t1\nchr1\t1\t2\t.\t-1\t-1\t.\t1\n"
    with pytest.warns(UserWarning, match=r"1 chromosome names match nothing"):
        assert len(read_contacts("bedpe", written(tmp_path, text, "l.bedpe"), SIZES)) == 1


# -- pickles -------------------------------------------------------------------------------------------------

A, B, C = "chr1:1000-2000", "chr1:5000-6000", "chr1:8000-9000"


def pickled(tmp_path, neighbours, scores, protocol=4):
    paths = tmp_path / "H1_frag2neighbors.pickle", tmp_path / "H1_pair2score.pickle"
    for path, content in zip(paths, (neighbours, scores)):
        path.write_bytes(pickle.dumps(content, protocol))
    return list(paths)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("container", [set, frozenset, list, tuple])
def test_pickles_of_every_protocol_and_container_are_read(tmp_path, protocol, container):
    neighbours = collections.defaultdict(container, {A: container([B, C]), B: container([A])})
    paths = pickled(tmp_path, neighbours, {(A, B): 2.5, (B, A): 2.5, (A, C): 1.75}, protocol)
    contacts = read_contacts("pickles", paths, SIZES)
    assert contacts.values.tolist() == [
        ["chr1", 1000, 2000, 5000, 6000, 2.5],
        ["chr1", 1000, 2000, 8000, 9000, 1.75],
    ]
    named = {"frag2neighbors": paths[0], "pair2score": paths[1]}
    assert read_contacts("pickles", named, SIZES).equals(contacts)
    pcres = select_pcres(gene_table(G=1500, N=8500), contacts)
    assert pcres[["gene_id", "start"]].values.tolist() == [["G", 5000], ["G", 8000], ["N", 1000]]


def test_scores_are_looked_up_by_tss_fragment_and_neighbour(tmp_path):
    paths = pickled(
        tmp_path, {A: {B, C}, B: {A}, C: {A}}, {(A, B): 3.0, (B, A): 2.0, (A, C): 1.0, (C, A): 1.0}
    )
    contacts = read_contacts("pickles", paths, SIZES)
    assert contacts.one_way.sum() == 2 and len(contacts) == 3
    pcres = select_pcres(gene_table(G=1500, N=5500), contacts, min_score=0)
    assert pcres[["gene_id", "start", "score"]].values.tolist() == [
        ["G", 5000, 3.0],
        ["G", 8000, 1.0],
        ["N", 1000, 2.0],
    ]


@pytest.mark.parametrize(
    "kind", [np.float64, np.float32, np.float16, np.int64, np.int8, np.dtype(">f8").type]
)
def test_numpy_numbers_in_pickles_become_python_numbers_of_the_same_value(tmp_path, kind):
    for protocol in (3, 4, 5):
        (tmp_path / "n.pickle").write_bytes(pickle.dumps({(A, B): kind(1.75)}, protocol))
        value = load_plain_pickle(tmp_path / "n.pickle")[A, B]
        assert value == float(kind(1.75)) and type(value) in (int, float)


class Attack:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "name",
    [
        "posix.system",
        "builtins.eval",
        "builtins.exec",
        "builtins.getattr",
        "builtins.print",
        "subprocess.Popen",
        "builtins.open",
        "importlib.import_module",
    ],
)
def test_code_in_a_pickle_is_refused_by_name_and_never_run(tmp_path, name, protocol):
    module, _, function = name.rpartition(".")
    call = getattr(__import__(module, fromlist=["x"]), function)
    trap = tmp_path / "trap"
    argument = (
        f"__import__('pathlib').Path({str(trap)!r}).touch()"
        if "ev" in name or "ex" in name
        else f"touch {trap}"
    )
    attacked = {A: {B}, "deep": [(1, {"x": Attack(call, argument)})]}
    path = tmp_path / "attack.pickle"
    path.write_bytes(pickle.dumps(attacked, protocol))
    with pytest.raises(
        InputError, match=rf"attack.pickle: refused: this pickle asks for [\w.]*{function},"
    ) as caught:
        load_plain_pickle(path)
    assert not trap.exists() and "download it again" in str(caught.value.fix)
    with pytest.raises(InputError, match="refused"):
        read_contacts("pickles", [path, path], SIZES)
    pickle.loads(pickle.dumps(Attack(Path.touch, trap)))  # an unguarded reader runs the code
    assert trap.exists()


@pytest.mark.parametrize(
    "content",
    [
        np.arange(3),
        np.dtype("O"),
        pd.Series([1.0]),
        Path("x"),
        Attack,
        np.datetime64("2020-01-01"),
        np.str_("x"),
        1j,
        Ellipsis,
    ],
)
def test_everything_that_is_no_container_string_or_number_is_refused(tmp_path, content):
    (tmp_path / "x.pickle").write_bytes(pickle.dumps({A: content}))
    with pytest.raises(InputError, match=r"refused: this pickle asks for|cannot be read \(NumPy type"):
        load_plain_pickle(tmp_path / "x.pickle")


@pytest.mark.parametrize(
    "program",
    [
        b"cnumpy\ndtype\n}(X\x01\x00\x00\x00aK\x01u\x86b.",  # sets attributes of an allowed class
        b"cnumpy.core.multiarray\nscalar\nN}X\x01\x00\x00\x00aK\x01s\x86b.",
        b"cbuiltins\nset\nN}X\x01\x00\x00\x00aK\x01s\x86b.",
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00f8tRC\x01ztR.",  # 1 byte
        b"Ppersistent\n.",
        b"cbuiltins.set\nx\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x0cset.__class__\x93.",
    ],
)
def test_handwritten_pickle_programs_are_refused(tmp_path, program):
    (tmp_path / "x.pickle").write_bytes(program)
    with pytest.raises(InputError, match="refused|cannot be read"):
        load_plain_pickle(tmp_path / "x.pickle")
    assert not hasattr(set, "a")


def test_errors_name_damaged_or_missing_pickles(tmp_path):
    paths = pickled(tmp_path, {A: {B}}, {(A, B): 2.0})
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[:-5])
    with pytest.raises(InputError, match="H1_frag2neighbors.pickle: this pickle cannot be read"):
        read_contacts("pickles", paths, SIZES)
    paths[0].write_bytes(gzip.compress(whole))
    assert len(read_contacts("pickles", paths, SIZES)) == 1
    with pytest.raises(InputError, match="no such file"):
        read_contacts("pickles", [tmp_path / "none", paths[1]], SIZES)
    with pytest.raises(InputError, match="need two files"):
        read_contacts("pickles", paths[0], SIZES)


@pytest.mark.parametrize(
    "neighbours, scores, message",
    [
        ({A: {B}}, {(A, C): 2.0}, f"pair2score.pickle: the pair {A}, {B} has no score"),
        ({A: {B}}, {(A, B): "high"}, f"pair {A} and {B}: score 'high' is not a finite number"),
        ({A: {B}}, {(A, B): float("nan")}, "score 'nan' is not a finite number"),
        ({A: {"chr1:5"}}, {(A, "chr1:5"): 2.0}, "'chr1:5' is not a fragment"),
        ({A: {"chr1:1-100001"}}, {(A, "chr1:1-100001"): 2.0}, "chr1:1-100001 leaves its chromosome"),
        ({A: B}, {(A, B): 2.0}, f"key '{A}': expected a set of fragments"),
        ({A: {1}}, {(A, 1): 2.0}, "expected a set of fragments"),
        ([A], {(A, B): 2.0}, "expected a dictionary"),
        ({A: {B}}, {}, "expected a dictionary"),
    ],
)
def test_errors_name_wrong_contents_of_pickles(tmp_path, neighbours, scores, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        read_contacts("pickles", pickled(tmp_path, neighbours, scores), SIZES)


def test_trans_contacts_in_pickles_are_left_out(tmp_path):
    paths = pickled(tmp_path, {A: {B, "chr2:5-10"}}, {(A, B): 2.0, (A, "chr2:5-10"): 9.0})
    with pytest.warns(UserWarning, match="1 of 2 contacts join two chromosomes"):
        assert len(read_contacts("pickles", paths, SIZES)) == 1


# -- coolers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"min_score": 30, "min_distance": 3000},
        {"top": 3, "tss_distance": 400},
        {"transform": "observed_over_expected", "min_score": 1.1},
        {"min_distance": 3000, "max_distance": 12_000, "top": 3},
    ],
)
def test_pcres_from_the_best_contacts_of_a_map_equal_those_from_the_whole_map(tmp_path, monkeypatch, options):
    random = np.random.default_rng(5)
    bins = cooler.binnify(pd.Series({"1": 100_000, "2": 50_000}), 1000)
    one, two = np.triu_indices(len(bins))
    pixels = pd.DataFrame({"bin1_id": one, "bin2_id": two, "count": random.integers(0, 60, len(one))})
    cooler.create_cooler(str(tmp_path / "m.cool"), bins, pixels)
    genes = pd.DataFrame(
        {
            "gene_id": [f"g{number}" for number in range(30)],
            "chrom": random.choice(list(SIZES), 30),
            "tss": random.integers(0, 50_000, 30),
        }
    )
    more = pd.DataFrame({"gene_id": ["g1", "g1", "g5"], "tss": [70, 30_000, 41_000]})
    selecting = {name: value for name, value in options.items() if name in SELECTING}
    everything = read_contacts("cool", tmp_path / "m.cool", SIZES, balance=False, **options)
    monkeypatch.setattr(coolers, "PIECE", 500)
    for tss in (None, more):
        kept = read_contacts(
            "cool", tmp_path / "m.cool", SIZES, genes=genes, tss=tss, balance=False, **options
        )
        assert len(kept) < len(everything) / 8
        expected = select_pcres(genes, everything, tss=tss, **selecting)
        assert select_pcres(genes, kept, tss=tss, **selecting).equals(expected) and len(expected) > 60


# -- reading any kind ----------------------------------------------------------------------------------------


def test_unknown_kinds_options_and_missing_paths_are_refused(tmp_path):
    with pytest.raises(InputError, match="kind 'hic' is unknown\n.*pickles, pairs, bedpe, cool, none"):
        read_contacts("hic", tmp_path / "x", SIZES)
    with pytest.raises(InputError, match="contacts of kind bedpe have no option balance, max_lenght"):
        read_contacts("bedpe", tmp_path / "x", SIZES, balance="KR", max_lenght=5)
    with pytest.raises(InputError, match="contacts of kind pairs need a path"):
        read_contacts("pairs", None, SIZES)
    with pytest.raises(InputError, match="no such file"):
        read_contacts("pairs", tmp_path / "x", SIZES)
    with pytest.raises(InputError, match="this file is empty"):
        read_contacts("pairs", written(tmp_path, ""), SIZES)


def test_read_contacts_accepts_all_options_of_a_manifest_entry(tmp_path):
    entry = {
        "kind": "pairs",
        "path": written(tmp_path, PAIRS + f"{A}\t{B}\t2\n{A}\t{C}\t3\n"),
        "min_score": 1.5,
        "top": 1,
        "max_length": 40_000,
    }
    contacts = read_contacts(chrom_sizes=SIZES, **entry)
    selecting = {name: entry[name] for name in SELECTING if name in entry}
    assert len(contacts) == 2
    assert starts(select_pcres(gene_table(G=1500), contacts, **selecting)) == [8000]
    assert select_pcres(gene_table(G=1500), read_contacts("none", None, SIZES, min_score=1.5)).empty


@pytest.mark.slow
def test_20000_genes_and_a_million_contacts_take_seconds():
    random = np.random.default_rng(0)
    genes = pd.DataFrame(
        {
            "gene_id": [f"g{number}" for number in range(20_000)],
            "chrom": random.choice(list("abcdefghij"), 20_000),
            "tss": random.integers(5_000_000, 90_000_000, 20_000),
        }
    )
    gene, shift = random.integers(0, 20_000, 1_000_000), random.integers(1, 500, 1_000_000) * 4000
    start = genes.tss.to_numpy()[gene] // 4000 * 4000
    contacts = pd.DataFrame(
        {
            "chrom": genes.chrom.to_numpy()[gene],
            "start_a": start,
            "end_a": start + 4000,
            "start_b": start + shift,
            "end_b": start + shift + 4000,
            "score": random.gamma(2, 1, 1_000_000),
        }
    )
    began = time.perf_counter()
    pcres = select_pcres(genes, contacts)
    assert time.perf_counter() - began < 20 and len(pcres) > 150_000


# -- real data -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo():
    "The 100 published genes, the fragments that hold their TSSs, and their published pCREs."
    meta = pd.read_csv(Path(DATA) / "e003_demo/demo_meta.csv").rename(columns={"start": "tss"})
    listed = pd.read_csv(Path(DATA) / "hg19.tss_fragments.tsv.gz", sep="\t").fragment.dropna().unique()
    regions = [parse_region(fragment) for fragment in listed]
    holding = {
        gene.gene_id: [
            str(region)
            for region in regions
            if region.chrom == gene.chrom and region.start <= gene.tss < region.end
        ]
        for gene in meta.itertuples()
    }
    pcres = {
        gene.gene_id: list(zip(gene.neighbors.split(";"), map(float, str(gene.scores).split(";"))))
        for gene in meta.dropna(subset="neighbors").itertuples()
    }
    return meta, holding, pcres


def as_published(pcres):
    pcres = pcres.assign(fragment=pcres.chrom + ":" + pcres.start.astype(str) + "-" + pcres.end.astype(str))
    return {gene: list(zip(rows.fragment, rows.score)) for gene, rows in pcres.groupby("gene_id")}


def demo_contacts(demo):
    _, holding, pcres = demo
    return [(holding[gene][0], fragment, score) for gene, found in pcres.items() for fragment, score in found]


# Two published pCREs were reached from a further TSS of their gene, in another fragment: RUNX3
# (ENSG00000020633) from its downstream promoter, which touches the fragment of the first TSS, and SYNJ2
# (ENSG00000078269) from the 5' end of its gene record, which touches the promoter of ENSG00000215712.
RUNX3, SYNJ2, C6ORF35 = "ENSG00000020633", "ENSG00000078269", "ENSG00000215712"
RUNX3_FIRST, RUNX3_SECOND = "chr1:25266898-25297354", "chr1:25254223-25259066"
SYNJ2_FIRST, SYNJ2_SECOND, C6ORF35_ONLY = (
    "chr6:158433841-158438422",
    "chr6:158398286-158413737",
    "chr6:157743241-157745068",
)
FURTHER = pd.DataFrame({"gene_id": [RUNX3, SYNJ2], "tss": [25_256_767, 158_402_887]})


@needs_data
def test_all_but_one_published_tss_lie_in_one_fragment(demo):
    meta, holding, pcres = demo
    assert sorted(map(len, holding.values())) == [0] + [1] * 99
    assert [gene for gene, fragments in holding.items() if not fragments] == ["ENSG00000131002"]
    assert len(pcres) == 89 and "ENSG00000131002" not in pcres


@needs_data
def test_one_tss_per_gene_reproduces_98_of_the_100_published_lists(demo, tmp_path):
    meta, _, published = demo
    lines = [
        f"{a}\t{b}\t{score}\n" if number % 2 else f"{b}\t{a}\t{score}\n"
        for number, (a, b, score) in enumerate(demo_contacts(demo))
    ]
    path = written(tmp_path, PAIRS + "".join(lines))
    sizes = read_chrom_sizes(Path(DATA) / "hg19.chrom.sizes")
    found = as_published(select_pcres(meta, read_contacts("pairs", path, sizes)))
    differing = {gene for gene in meta.gene_id if found.get(gene, []) != published.get(gene, [])}
    assert differing == {RUNX3, C6ORF35}
    # RUNX3: the fragment of its own promoter is not a pCRE of its TSS.
    # C6orf35: the fragment assigned to SYNJ2 touches it.
    assert set(published[RUNX3]) - set(found[RUNX3]) == {(RUNX3_FIRST, 1.6963)}
    assert set(found[C6ORF35]) - set(published[C6ORF35]) == {(SYNJ2_FIRST, 1.8861)}
    assert (SYNJ2_SECOND, 1.8861) in published[C6ORF35]  # the contact as C6orf35 sees it


@needs_data
@pytest.mark.parametrize("kind", ["pairs", "pickles"])
def test_two_further_tsss_reproduce_all_published_pcres_in_order(demo, tmp_path, kind):
    meta, _, published = demo
    sizes = read_chrom_sizes(Path(DATA) / "hg19.chrom.sizes")
    moved = {
        (RUNX3_FIRST, RUNX3_FIRST): (RUNX3_SECOND, RUNX3_FIRST),
        (SYNJ2_FIRST, C6ORF35_ONLY): (SYNJ2_SECOND, C6ORF35_ONLY),
    }
    contacts = [(*moved.get((a, b), (a, b)), score) for a, b, score in demo_contacts(demo)]
    if kind == "pairs":
        path = written(tmp_path, PAIRS + "".join(f"{a}\t{b}\t{score}\n" for a, b, score in contacts))
    else:
        neighbours = collections.defaultdict(set)
        for a, b, _ in contacts:
            neighbours[a].add(b)
        path = pickled(tmp_path, neighbours, {(a, b): np.float64(score) for a, b, score in contacts})
    found = as_published(select_pcres(meta, read_contacts(kind, path, sizes), tss=FURTHER))
    assert found == published and sum(map(len, found.values())) == 580


@pytest.fixture(scope="module")
def roadmap_genes():
    sizes = read_chrom_sizes(Path(DATA) / "hg19.chrom.sizes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        genes = read_genes("gtf", Path(DATA) / "gencode.v10.genes.hg19.gtf.gz", sizes)
    rpkm = read_expression(Path(DATA) / "57epigenomes.RPKM.pc.gz", "E116")
    return genes[genes.gene_id.isin(rpkm.index)].reset_index(drop=True), sizes


@needs_data
def test_18062_tsss_lie_in_a_listed_fragment(roadmap_genes):
    sizes = roadmap_genes[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        genes = read_genes("gtf", Path(DATA) / "gencode.v10.genes.hg19.gtf.gz", sizes)
    listed = pd.read_csv(Path(DATA) / "hg19.tss_fragments.tsv.gz", sep="\t").fragment.dropna().unique()
    regions = pd.DataFrame([parse_region(fragment) for fragment in listed])
    everywhere = pd.DataFrame(
        {
            "chrom": regions.chrom,
            "start_a": regions.start,
            "end_a": regions.end,
            "start_b": -200,
            "end_b": -100,
            "score": 2.0,
        }
    )
    assert (
        select_pcres(genes, everywhere).gene_id.nunique() == 18_062
    )  # the search for the fragment that holds a TSS


@needs_data
@pytest.mark.parametrize("tss_distance, with_pcre, number", [(0, 2093, 2641), (10_000, 4749, 6760)])
def test_loops_of_gm12878_give_pcres_to_as_many_genes_as_bioframe_does(
    roadmap_genes, tss_distance, with_pcre, number
):
    import bioframe

    genes, sizes = roadmap_genes
    path = Path(DATA) / "gm12878/GM12878.loops.bedpe.gz"
    pcres = select_pcres(genes, read_contacts("bedpe", path, sizes), tss_distance=tss_distance)
    assert (pcres.gene_id.nunique(), len(pcres)) == (with_pcre, number)
    loops = pd.read_csv(path, sep="\t", header=None)
    near = pd.concat(
        [
            loops[[0, 1, 2, 4, 5, 7]].set_axis([*"csepqv"], axis=1),
            loops[[0, 4, 5, 1, 2, 7]].set_axis([*"csepqv"], axis=1),
        ]
    )
    near = near.assign(
        s=near.s - tss_distance, e=near.e + tss_distance, w=near.p - tss_distance, x=near.q + tss_distance
    )
    sites = pd.DataFrame({"c": genes.chrom, "s": genes.tss, "e": genes.tss + 1, "gene_id": genes.gene_id})
    hits = bioframe.overlap(
        near, sites, how="inner", cols1=("c", "s", "e"), cols2=("c", "s", "e"), suffixes=("", "_")
    )
    hits = hits[(hits.s_ < hits.w) | (hits.s_ >= hits.x)].drop_duplicates(["gene_id_", "p", "q"])
    assert (
        hits.gene_id_.nunique() == with_pcre and hits.groupby("gene_id_").size().clip(upper=8).sum() == number
    )


@needs_data
def test_the_real_map_gives_pcres_on_every_chromosome(roadmap_genes):
    genes, sizes = roadmap_genes
    path = Path(DATA) / "gm12878/GM12878.hic.2500kb.cool"
    selecting = {"max_length": 2_500_000, "min_distance": 2_500_000}
    options = {"balance": "KR", "transform": "observed_over_expected"} | selecting
    with pytest.warns(UserWarning, match="MT"):
        contacts = read_contacts("cool", path, sizes, genes=genes, **options)
    pcres = select_pcres(genes, contacts, **selecting)
    assert set(pcres.chrom) == set(sizes)
    assert pcres.groupby("gene_id").size().max() == 8 and (pcres.score > 1.5).all()
    with pytest.raises(InputError, match="no weight column 'weight'; other columns: KR, VC, VC_SQRT"):
        read_contacts("cool", path, sizes)
