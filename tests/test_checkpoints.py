"""Checkpoints of the published network are imported from wherever training code puts their tensors."""

from collections import OrderedDict

import pytest
import torch
from command_line import refused, succeed
from torch import nn

from chromoformer.errors import InputError
from chromoformer.model.checkpoint import export_published, import_published, load, read_config, save
from chromoformer.model.config import BlockConfig, ChromoformerConfig
from chromoformer.model.network import Chromoformer, random_batch

BLOCK = BlockConfig(1, 2, 8, 8, 8)
SIZES = {"embedding": BLOCK, "pairwise": BLOCK, "regulation": BLOCK, "head_width": 8}
MARKS = ("H3K4me3", "CTCF")


class Part(nn.Module):
    "A module with the names of the published network, so that torch itself puts the prefixes."

    def __init__(self, net):
        super().__init__()
        for name, tensor in net.items():
            first, _, rest = name.partition(".")
            if rest:
                if first not in self._modules:
                    self.add_module(
                        first,
                        Part({k[len(first) + 1 :]: v for k, v in net.items() if k.startswith(f"{first}.")}),
                    )
            else:
                self.register_parameter(name, nn.Parameter(tensor))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Chromoformer(ChromoformerConfig(channels=MARKS, bin_sizes=(2000, 500), **SIZES))


@pytest.fixture(scope="module")
def net(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("checkpoint") / "published.pt"
    export_published(model, file)
    return torch.load(file, weights_only=False)["net"]


def prefixed(net, prefix):
    return {prefix + name: tensor for name, tensor in net.items()}


def same(model, file):
    again = import_published(file, channels=MARKS)
    assert again.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.",
        "model.",
        "net.",
        "module._orig_mod.",
        "_orig_mod.module.",
        "model.module.net.",
    ],
)
@pytest.mark.parametrize("place", ["net", "state_dict", "model_state_dict", "model", "bare", "nested"])
def test_a_common_prefix_and_any_place_are_accepted(model, net, tmp_path, prefix, place):
    tensors = OrderedDict(prefixed(net, prefix))
    content = {
        place: tensors,
        "epoch": 3,
        "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1}]},
    }
    if place == "bare":
        content = tensors
    elif place == "nested":
        content = {"checkpoint": {"model": tensors, "step": 7}}
    torch.save(content, tmp_path / "c.pt")
    same(model, tmp_path / "c.pt")


def test_prefixes_that_torch_writes_are_accepted(model, net, tmp_path):
    module = Part(net)
    wrapped = {
        "parallel": nn.DataParallel(module),
        "compiled": torch.compile(module),
        "compiled parallel": torch.compile(nn.DataParallel(module)),
        "averaged": torch.optim.swa_utils.AveragedModel(module),
    }
    for name, wrapper in wrapped.items():
        state = wrapper.state_dict()
        assert not set(state) & set(net), name
        torch.save({"net": state}, tmp_path / "c.pt")
        same(model, tmp_path / "c.pt")


def test_a_block_that_was_compiled_alone_is_accepted(model, net, tmp_path):
    module = Part(net)
    module.embed._modules["500"] = torch.compile(module.embed._modules["500"])
    state = module.state_dict()
    assert "embed.500._orig_mod.lin_proj.weight" in state and "fc_head.0.bias" in state
    torch.save(state, tmp_path / "c.pt")
    same(model, tmp_path / "c.pt")


@pytest.mark.parametrize(
    ("first", "second"), [("", "module."), ("model.", "ema."), ("_orig_mod.", "module._orig_mod.")]
)
@pytest.mark.parametrize("overlap", [False, True])
def test_a_mixture_of_prefixes_is_refused_with_a_name_of_each(net, tmp_path, first, second, overlap):
    names = list(net)
    half = set(names if overlap else names[::2])
    content = {first + name: net[name] for name in names if name in half}
    content |= {second + name: net[name] for name in names if overlap or name not in half}
    torch.save({"net": content}, tmp_path / "c.pt")
    with pytest.raises(InputError, match="different prefixes") as caught:
        import_published(tmp_path / "c.pt", channels=MARKS)
    assert repr(second) in str(caught.value) and f"{second}embed." in str(caught.value)


def test_two_copies_of_one_block_are_refused(net, tmp_path):
    extra = {"embed.500._orig_mod.lin_proj.weight": net["embed.500.lin_proj.weight"] + 1}
    torch.save({"net": net | extra}, tmp_path / "c.pt")
    with pytest.raises(InputError, match="different prefixes"):
        import_published(tmp_path / "c.pt", channels=MARKS)


def test_several_networks_in_one_file_are_refused_unless_one_is_net(model, net, tmp_path):
    other = {name: tensor + 1 for name, tensor in net.items()}
    torch.save({"state_dict": net, "ema_state_dict": other}, tmp_path / "c.pt")
    with pytest.raises(InputError, match="several networks: state_dict, ema_state_dict"):
        import_published(tmp_path / "c.pt", channels=MARKS)
    torch.save({"ema": other, "net": net}, tmp_path / "c.pt")
    same(model, tmp_path / "c.pt")


def test_other_tensors_in_the_file_are_refused_by_name(net, tmp_path):
    torch.save({"state_dict": prefixed(net, "model.") | {"loss.weight": torch.ones(2)}}, tmp_path / "c.pt")
    with pytest.raises(InputError, match="loss.weight"):
        import_published(tmp_path / "c.pt", channels=MARKS)
    torch.save({"state_dict": {"encoder.weight": torch.ones(2)}, "epoch": 1}, tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"no tensors named embed\.\*.*its keys are state_dict, epoch"):
        import_published(tmp_path / "c.pt", channels=MARKS)


def test_unnamed_channels_are_asked_for_or_the_published_order_is_announced(model, net, tmp_path):
    torch.save({"net": net}, tmp_path / "two.pt")
    with pytest.raises(InputError, match="reads 2 channels and does not name them"):
        import_published(tmp_path / "two.pt")
    seven = Chromoformer(ChromoformerConfig(bin_sizes=(2000, 500), **SIZES))
    export_published(seven, tmp_path / "seven.pt")
    with pytest.warns(UserWarning, match="published order is assumed: H3K4me1, H3K4me3, H3K9me3, H3K27me3"):
        again = import_published(tmp_path / "seven.pt")
    assert again.config == seven.config


def test_the_command_imports_wrapped_weights_and_prints_the_assumed_channels(model, net, tmp_path):
    torch.save({"state_dict": prefixed(net, "module.")}, tmp_path / "c.pt")
    command = ["import-weights", tmp_path / "c.pt", "--out", tmp_path / "model"]
    refused(tmp_path, *command, says=["does not name them", "--channels"])
    result = succeed(*command, "--channels", "H3K4me3, CTCF")
    assert "Note: " not in result.err
    assert read_config(tmp_path / "model")[0] == model.config
    seven = Chromoformer(ChromoformerConfig(bin_sizes=(2000, 500), **SIZES))
    export_published(seven, tmp_path / "seven.pt")
    result = succeed("import-weights", tmp_path / "seven.pt", "--out", tmp_path / "seven")
    assert "Note: " in result.err and "published order is assumed" in result.err


@pytest.mark.parametrize(
    ("fold", "held_out"), [("1", (1,)), ("7", (7,)), ("fold12", (12,)), ("5, 6", (5, 6)), (None, ())]
)
def test_import_weights_accepts_any_fold(net, tmp_path, fold, held_out):
    torch.save(net, tmp_path / "c.pt")
    option = [] if fold is None else ["--fold", fold]
    succeed("import-weights", tmp_path / "c.pt", "--out", tmp_path / "m", "--channels", "A,B", *option)
    assert read_config(tmp_path / "m")[1] == held_out


@pytest.mark.parametrize("fold", ["0", "chr1", "-1", "1.5", "fold"])
def test_import_weights_refuses_what_is_no_fold(net, tmp_path, fold):
    torch.save(net, tmp_path / "c.pt")
    command = [
        "import-weights",
        tmp_path / "c.pt",
        "--out",
        tmp_path / "m",
        "--channels",
        "A,B",
        f"--fold={fold}",
    ]
    refused(tmp_path, *command, says=[fold, "--fold", "number of a fold"])


def test_wrapped_networks_are_saved_without_their_wrapper(model, tmp_path):
    for number, wrapped in enumerate(
        (torch.compile(model), nn.DataParallel(model), torch.compile(nn.DataParallel(model)))
    ):
        save(wrapped, tmp_path / f"{number}", [3])
        again = load(tmp_path / f"{number}")
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
        assert read_config(tmp_path / f"{number}") == (model.config, (3,))


def test_a_network_without_contact_scores_is_exported_exactly(tmp_path):
    torch.manual_seed(1)
    config = ChromoformerConfig(channels=MARKS, bin_sizes=(2000, 500), contacts=False, **SIZES)
    own = Chromoformer(config)
    for gamma in (weights for name, weights in own.named_parameters() if ".gamma." in name):
        gamma.data.normal_()
    export_published(own, tmp_path / "own.pt")
    again = import_published(tmp_path / "own.pt", channels=MARKS)
    batch = random_batch(6, config)
    with torch.no_grad():
        assert again.config.contacts and torch.equal(own(batch), again(batch))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"promoter_window": 20_000}, "promoter_window"),
        ({"scale": "rank"}, "common scale"),
        ({"max_pcres": 0}, "max_pcres"),
        ({"joint": True}, "joint"),
    ],
)
def test_what_the_published_format_cannot_express_is_not_exported(changes, named, tmp_path):
    config = ChromoformerConfig(channels=MARKS, bin_sizes=(2000, 500), **SIZES, **changes)
    with pytest.raises(InputError, match=named):
        export_published(Chromoformer(config), tmp_path / "own.pt")
    assert not list(tmp_path.iterdir())
