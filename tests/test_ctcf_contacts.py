"Contacts from CTCF: bound sites, sites between and around two places, the fitted law, and the kind ctcf."

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chromoformer.data.bigwig import write_bigwig
from chromoformer.data.ctcf_contacts import CtcfLaw, bound_sites, fit_law, site_features, with_ctcf
from chromoformer.data.manifest import Contacts
from chromoformer.data.predicted_contacts import contacts_of
from chromoformer.errors import InputError


def random_sites(seed=0, number=60):
    random = np.random.default_rng(seed)
    start = np.sort(random.integers(0, 1_000_000, number))
    strand = random.choice(["+", "-"], number)
    return pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 19, "strand": strand})


def test_sites_between_and_pairs_around_equal_a_count_site_by_site():
    sites = random_sites()
    random = np.random.default_rng(1)
    first, second = random.integers(0, 1_000_000, (2, 200))
    found = site_features(sites, "chr1", first, second, reach=15_000)
    for place, other, (between, pairs) in zip(first, second, found):
        left, right = min(place, other), max(place, other)
        middles = [(s.start + 9, s.strand) for s in sites.itertuples()]
        assert between == sum(left + 15_000 < m < right - 15_000 for m, _ in middles)
        plus = sum(abs(m - left) <= 15_000 and strand == "+" for m, strand in middles)
        minus = sum(abs(m - right) <= 15_000 and strand == "-" for m, strand in middles)
        assert pairs == min(plus, minus, 2)
    assert found.max(0).tolist()[1] == 2
    assert (
        found == site_features(sites, "chr1", second, first)
    ).all()  # the order of the ends is of no effect


def test_a_site_is_bound_if_its_middle_is_in_a_peak_also_where_peaks_overlap():
    sites = random_sites(2, 300)
    random = np.random.default_rng(3)
    start = random.integers(0, 1_000_000, 40)
    peaks = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + random.integers(1, 60_000, 40)})
    middle = (sites["start"] + sites["end"]) // 2
    inside = [((peaks["start"] <= m) & (m < peaks["end"])).any() for m in middle]
    assert bound_sites(sites, peaks).equals(sites[inside].reset_index(drop=True)) and 0 < sum(inside) < 300
    with pytest.raises(InputError, match="peaks on 1"):
        bound_sites(sites, peaks.assign(chrom="1"))


def test_the_fit_maximises_the_poisson_likelihood():
    from scipy.optimize import minimize

    random = np.random.default_rng(4)
    features = np.column_stack([random.integers(0, 12, 3000), random.integers(0, 3, 3000)]).astype(float)
    expected = random.uniform(0.1, 5, 3000)
    observed = random.poisson(expected * np.exp(-0.08 * features[:, 0] + 0.6 * features[:, 1])).astype(float)

    def loss(weights):
        log_mean = np.log(expected) + features @ weights[:2] + weights[2]
        return (np.exp(log_mean) - observed * log_mean).sum()

    best = minimize(loss, np.zeros(3), method="BFGS").x
    law = fit_law(features, observed, expected)
    assert np.allclose([-law.insulation, law.gain], best[:2], atol=1e-3)


@pytest.mark.parametrize(
    ("features", "observed", "expected"),
    [
        (np.zeros((4, 2)), np.ones(4), np.ones(4)),
        (np.eye(4)[:, :2], np.zeros(4), np.ones(4)),
        (np.eye(4)[:, :2], np.ones(4), np.zeros(4)),
        (np.eye(4)[:, :2], np.full(4, np.nan), np.ones(4)),
    ],
)
def test_counts_that_cannot_be_fitted_are_refused(features, observed, expected):
    with pytest.raises(InputError):
        fit_law(features, observed, expected)


def test_sites_without_a_strand_are_refused():
    with pytest.raises(InputError, match="no strand"):
        site_features(random_sites().assign(strand="."), "chr1", np.array([1]), np.array([2]))


def test_without_sites_contacts_stay_as_they_are():
    contacts = pd.DataFrame(
        {
            "chrom": "chr2",
            "start_a": [10],
            "end_a": [11],
            "start_b": [90_000],
            "end_b": [94_000],
            "score": [1.7],
        }
    )
    assert np.allclose(with_ctcf(contacts, random_sites())["score"], [1.7])


def test_contacts_of_kind_ctcf_are_those_of_distance_times_the_factor(tmp_path):
    sites = random_sites()
    sites.assign(name="CTCF", score=15)[["chrom", "start", "end", "name", "score", "strand"]].to_csv(
        tmp_path / "sites.bed", sep="\t", header=False, index=False
    )
    peaks = sites.iloc[::2]
    peaks[["chrom", "start", "end"]].to_csv(tmp_path / "peaks.bed", sep="\t", header=False, index=False)
    start = np.arange(50_000, 900_000, 40_000)
    elements = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 500})
    elements.to_csv(tmp_path / "elements.bed", sep="\t", header=False, index=False)
    genes = pd.DataFrame({"gene_id": ["A", "B"], "chrom": "chr1", "tss": [300_000, 600_000]})
    plain = Contacts(kind="distance", path=str(tmp_path / "elements.bed"))
    files = {name: str(tmp_path / f"{name}.bed") for name in ("sites", "peaks", "elements")}
    sizes = {"chr1": 1_000_000}
    entry = Contacts(kind="ctcf", path=files, marks=["H3K27ac"], insulation=0.1, gain=0.5)
    flat = [("chr1", np.array([0]), np.array([1_000_000]), np.array([1.0]))]
    write_bigwig(tmp_path / "flat.bw", sizes, flat)
    tracks = {"H3K27ac": [str(tmp_path / "flat.bw")]}
    expected = contacts_of(plain, genes, sizes, {})
    found = contacts_of(entry, genes, sizes, tracks)
    keys = ["start_a", "start_b"]
    assert (found[keys].to_numpy() == expected[keys].to_numpy()).all()
    centre = ((expected["start_b"] + expected["end_b"]) // 2).to_numpy()
    counted = site_features(peaks, "chr1", expected["start_a"].to_numpy(), centre)
    factor = np.exp(-0.1 * counted[:, 0] + 0.5 * counted[:, 1])
    assert np.allclose(np.expm1(found["score"]), np.expm1(expected["score"]) * factor)
    assert len(set(factor.round(6))) > 3
    assert np.allclose(
        CtcfLaw(0.1, 0.5).factor(peaks, "chr1", expected["start_a"].to_numpy(), centre), factor
    )


@pytest.fixture
def two_chromosomes(tmp_path):
    "Write a site, a peak and an element on each of two chromosomes; return their genes, track and files."
    for name, line in {
        "sites": "40000\t40019\tCTCF\t1\t+",
        "peaks": "39000\t41000",
        "elements": "90000\t90500",
    }.items():
        (tmp_path / f"{name}.bed").write_text(f"chr1\t{line}\nchr2\t{line}\n")
    genes = pd.DataFrame({"gene_id": ["A", "B"], "chrom": ["chr1", "chr2"], "tss": [10_000, 10_000]})
    flat = [(chrom, np.array([0]), np.array([200_000]), np.array([1.0])) for chrom in GENOME]
    write_bigwig(tmp_path / "flat.bw", GENOME, flat)
    tracks = {"H3K27ac": [str(tmp_path / "flat.bw")]}
    return genes, tracks, {name: str(tmp_path / f"{name}.bed") for name in ("sites", "peaks", "elements")}


GENOME = {"chr1": 200_000, "chr2": 200_000}


@pytest.mark.parametrize("lacking", ["sites", "peaks"])
def test_a_chromosome_that_a_file_of_sites_or_peaks_lacks_is_named(two_chromosomes, lacking):
    genes, tracks, files = two_chromosomes
    entry = Contacts(kind="ctcf", path=files, marks=["H3K27ac"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        contacts_of(entry, genes, GENOME, tracks)
    first = Path(files[lacking]).read_text().splitlines()[0]
    Path(files[lacking]).write_text(first + "\n")
    with pytest.warns(UserWarning, match=f"{lacking}.bed: no {lacking} on chr2, so that CTCF insulates no"):
        contacts_of(entry, genes, GENOME, tracks)


def test_peaks_without_a_chromosome_of_the_sites_are_refused_by_name(two_chromosomes):
    genes, tracks, files = two_chromosomes
    Path(files["sites"]).write_text("chr1\t40000\t40019\tCTCF\t1\t+\n")
    Path(files["peaks"]).write_text("chr2\t39000\t41000\n")
    entry = Contacts(kind="ctcf", path=files, marks=["H3K27ac"])
    with (
        pytest.warns(UserWarning, match="on chr2"),
        pytest.raises(InputError, match="peaks.bed: sites lie on chr1, peaks on chr2"),
    ):
        contacts_of(entry, genes, GENOME, tracks)


def test_without_elements_no_sequence_is_needed(two_chromosomes, tmp_path):
    genes, tracks, files = two_chromosomes
    Path(files["elements"]).write_text("chr1\t9000\t11000\n")  # at the TSS
    (tmp_path / "genome.fa").write_text(">chr1\nACGT\n")
    (tmp_path / "ctcf.jaspar").write_text(">MA1 CTCF\nA [4 0]\nC [0 4]\nG [0 0]\nT [0 0]\n")
    path = {
        name: str(tmp_path / file) for name, file in (("sequence", "genome.fa"), ("matrix", "ctcf.jaspar"))
    }
    entry = Contacts(kind="ctcf", path=path | {"elements": files["elements"]}, marks=["H3K27ac"])
    assert contacts_of(entry, genes, GENOME, tracks).empty


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "ctcf"},
        {"kind": "ctcf", "path": "sites.bed"},
        {"kind": "ctcf", "path": {"sequence": "a.fa"}},
        {"kind": "ctcf", "path": {"sites": "s.bed", "matrix": "m"}},
        {"kind": "ctcf", "path": {"sites": "s.bed"}, "p_value": 1e-4},
        {"kind": "distance", "gain": 0.1},
        {"kind": "activity", "insulation": 0.1},
    ],
)
def test_wrong_files_and_options_of_contacts_from_ctcf_are_refused(entry):
    with pytest.raises(ValueError, match=r"path|p_value|gain|insulation"):
        Contacts(**entry)


def test_contacts_without_a_largest_likelihood_are_refused():
    features = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]] * 5)
    observed = np.where(
        features[:, 0] > 0, 0.0, 1.0
    )  # no contact across a site: the more insulation, the better
    with pytest.raises(InputError, match="no insulation and gain fit best"):
        fit_law(features, observed, np.ones(20))
    with pytest.raises(InputError, match="no insulation and gain fit best"):  # nor without a pair around it
        fit_law(features, np.where(features[:, 1] > 0, 1.0, 0.0), np.ones(20))
    law = fit_law(features, np.where(features[:, 0] > 0, 1.0, 2.0), np.ones(20))
    assert np.isclose(law.insulation, np.log(2)) and np.isclose(law.gain, 0)
