#!/usr/bin/env python3
"""Compares one training step of chestlight-trainer's networks with PyTorch's, with equal random weights.

A development script; nothing that is installed needs Python. Once:

    python3 -m venv VENV
    VENV/bin/pip install torch==2.15.0 torchvision==0.29.2 timm==1.0.31 safetensors numpy

then, in the repository's root:

    cargo build --release --workspace --all-targets
    VENV/bin/python trainer/scripts/torchcheck.py target/release/examples/one_step

Weights are random, with norms whose gains, shifts and statistics are random too. They reach our networks through the
reader of published weights, as a torch .pth and as safetensors in turn. What is compared over several seeds: the
logits (bar: 1e-4, of the largest logit where that is above 1), the gradient of the mean cross entropy for every
parameter (bar: 1e-3 for the median seed: the largest difference within a tensor over its largest gradient, for the
worst tensor), and the running statistics after a step in which norms take the batch's own. The median, because the
gradient of a ReLU jumps where its input is 0 up to rounding: a seed that hits one of these differs there, and in all
tensors before it, by the whole jump. PyTorch's own f32 does so against its f64; what they differ by is shown beside
(torch_f64), and of how many tensors of all seeds the bar is missed, by ours and by PyTorch's own. Films are few and small
to have few of them. ResNet-50 has too many all the same: `--only resnet50 --clear 3e-6` compares one film, with seeds that
hit none.
"""

import argparse
import copy
import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import nn

FILMS, SIDE, SEEDS = 3, 32, 5
LOGITS, GRADIENTS = 1e-4, 1e-3


class SmallCnn(nn.Module):
    """Five convolutions of stride 2, as trainer/src/net/small_cnn.rs states them."""

    def __init__(self):
        super().__init__()
        widths = [3, 16, 32, 64, 128, 128]
        self.blocks = nn.ModuleList()
        for inputs, outputs in zip(widths, widths[1:]):
            conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
            conv.bn = nn.BatchNorm2d(outputs)
            self.blocks.append(nn.ModuleDict({"conv": conv}))
        self.classifier = nn.Linear(128, 3)

    def forward(self, x):
        for block in self.blocks:
            conv = block["conv"]
            x = torch.relu(conv.bn(conv(x)))
        return self.classifier(x.mean((2, 3)))


def published(name, net):
    """torch's parameter name -> the name under which weights are published."""
    if name != "efficientnet-lite0":
        return {key: key for key in net.state_dict()}
    names, number = {"conv_stem.": "_conv_stem.", "bn1.": "_bn0.", "conv_head.": "_conv_head.", "bn2.": "_bn1."}, 0
    names["classifier."] = "_fc."
    for stage, blocks in enumerate(net.blocks):
        for place, block in enumerate(blocks):
            inverted = hasattr(block, "conv_pwl")
            parts = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"] if inverted else ["conv_dw", "bn1", "conv_pw", "bn2"]
            theirs = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"][-len(parts):]
            for part, their in zip(parts, theirs):
                names[f"blocks.{stage}.{place}.{part}."] = f"_blocks.{number}.{their}."
            number += 1

    def renamed(key):
        start = max((prefix for prefix in names if key.startswith(prefix)), key=len)
        return names[start] + key[len(start):]

    return {key: renamed(key) for key in net.state_dict()}


def ours(name, key):
    """The published name -> the name of chestlight's field."""
    norm = {"weight": "gamma", "bias": "beta"}
    if name == "small-cnn":
        return re.sub(r"bn\.(weight|bias)$", lambda m: "bn." + norm[m[1]], key)
    if name == "efficientnet-lite0":
        parts = {"_expand_conv": "expand", "_bn0": "expand.bn", "_depthwise_conv": "depthwise", "_bn1": "depthwise.bn"}
        parts |= {"_project_conv": "project", "_bn2": "project.bn"}
        whole = {"_conv_stem": "blocks.0.conv", "_bn0": "blocks.0.conv.bn", "_conv_head": "blocks.17.conv"}
        whole |= {"_bn1": "blocks.17.conv.bn", "_fc": "classifier"}
        inside = re.match(r"_blocks\.(\d+)\.(\w+)\.(\w+)$", key)
        outside = re.match(r"(\w+)\.(\w+)$", key)
        start = f"blocks.{int(inside[1]) + 1}.{parts[inside[2]]}" if inside else whole[outside[1]]
        last = inside[3] if inside else outside[2]
        return f"{start}.{norm.get(last, last) if start.endswith('.bn') else last}"
    before = {"resnet18": [0, 2, 4, 6], "resnet50": [0, 3, 7, 13]}[name]
    inside = re.match(r"layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)\.(\w+)$", key)
    if not inside:
        start, last = key.rsplit(".", 1)
        start = {"conv1": "blocks.0.conv", "bn1": "blocks.0.conv.bn", "fc": "classifier"}[start]
    else:
        layer, block, kind, number, last = inside.groups()
        place = 2 + before[int(layer) - 1] + int(block)
        if kind == "downsample.":
            start = f"blocks.{place}.shortcut" + (".bn" if number == "1" else "")
        else:
            start = f"blocks.{place}.convs.{int(number) - 1}" + (".bn" if kind == "bn" else "")
    return f"{start}.{norm.get(last, last) if start.endswith('.bn') else last}"


NETWORKS = {
    "small-cnn": SmallCnn,
    "efficientnet-lite0": lambda: timm.create_model("tf_efficientnet_lite0", num_classes=3),
    "resnet18": lambda: torchvision.models.resnet18(num_classes=3),
    "resnet50": lambda: torchvision.models.resnet50(num_classes=3),
}


def randomise(net):
    """He's weights; gains and shifts that a reader that mixes them up would not survive; and statistics of films, as
    trained networks have them: with others the values would grow from layer to layer until f32 tells nothing."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.momentum = 1.0
    net.train()
    with torch.no_grad():
        net(torch.randn(32, 3, 2 * SIDE, 2 * SIDE))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1


def apart(pairs):
    """The relative difference of each tensor."""
    return [float(np.abs(mine - theirs).max() / max(np.abs(theirs).max(), 1e-12)) for mine, theirs in pairs]


def missed(differences):
    """In how many tensors the gradients miss the bar."""
    return sum(it > GRADIENTS for it in differences)


def nearest(net, x):
    """How near an input of a ReLU comes to 0, over their root mean square, in f64."""
    net, found = copy.deepcopy(net).double(), [1.0]

    def look(_, inputs):
        found.append(float(inputs[0].abs().min() / inputs[0].square().mean().sqrt()))
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(look)
    with torch.no_grad():
        net(x.double())
    return min(found)


def compare(program, name, batch_norm, ending, seed, films, clear):
    """What was found; nothing where a ReLU's input is nearer to 0 than `clear`."""
    torch.manual_seed(seed)
    net = NETWORKS[name]()
    randomise(net)
    net.train(batch_norm)
    names = published(name, net)
    x = torch.randn(films, 3, SIDE, SIDE)
    if clear and nearest(net, x) < clear:
        return None
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        state = {names[key]: value.clone() for key, value in net.state_dict().items()}
        weights = folder / f"weights.{ending}"
        save_file(state, weights) if ending == "safetensors" else torch.save(state, weights)
        x.numpy().astype("<f4").tofile(folder / "x.f32")
        command = [program, "--architecture", name, "--weights", weights, "--input", folder / "x.f32"]
        command += ["--films", str(films), "--side", str(SIDE), "--out", folder]
        subprocess.run(command + (["--batch-norm"] if batch_norm else []), check=True)
        logits = np.fromfile(folder / "logits.f32", "<f4").reshape(films, 3)
        gradients, after = load_file(folder / "gradients.safetensors"), load_file(folder / "after.safetensors")

    def gradients_of(net, x):
        logits = net(x)
        nn.functional.cross_entropy(logits, torch.arange(films) % 3).backward()
        return logits.detach(), {key: parameter.grad.numpy() for key, parameter in net.named_parameters()}

    _, exact = gradients_of(copy.deepcopy(net).double(), x.double())
    theirs, reference = gradients_of(net, x)
    pairs = []
    for key, gradient in reference.items():
        mine = gradients[ours(name, names[key])]
        pairs.append((mine.T if ours(name, names[key]) == "classifier.weight" else mine, gradient))
    differences = apart(pairs)
    of_torch = apart([(reference[key], exact[key]) for key in reference])
    largest = float(theirs.abs().max())
    result = {
        "logits": float(np.abs(logits - theirs.numpy()).max()) / max(1.0, largest),
        "gradient": max(differences),
        "torch_f64": max(of_torch),
        "tensors": len(differences),
        "missed": missed(differences),
        "torch_missed": missed(of_torch),
    }
    if batch_norm:
        state = net.state_dict()
        for statistic in ["running_mean", "running_var"]:
            pairs = [(after[ours(name, names[k])], v.numpy()) for k, v in state.items() if k.endswith(statistic)]
            result[statistic] = max(apart(pairs))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the built example one_step")
    parser.add_argument("--only", help="the network")
    parser.add_argument("--clear", type=float, help="one film; seeds whose ReLUs' inputs are further from 0 than this, "
                        "over their root mean square; the bar is for every seed")
    arguments = parser.parse_args()
    program, clear = arguments.program, arguments.clear
    cases = [(name, False, ending) for name in NETWORKS for ending in ["pth", "safetensors"]]
    cases.append(("small-cnn", True, "safetensors"))
    good = True
    for name, batch_norm, ending in cases:
        if arguments.only not in (None, name):
            continue
        films = 1 if clear else FILMS
        found = (compare(program, name, batch_norm, ending, seed, films, clear) for seed in itertools.count())
        seeds = list(itertools.islice(filter(None, found), SEEDS))
        gradients = sorted(it["gradient"] for it in seeds)
        logits = max(it["logits"] for it in seeds)
        passes = logits <= LOGITS and gradients[-1 if clear else SEEDS // 2] <= GRADIENTS
        good &= passes
        found = {"network": name, "norms": "batch" if batch_norm else "frozen", "file": ending, "passes": passes}
        found |= {"logits": logits, "gradient_median": gradients[SEEDS // 2], "gradient_largest": gradients[-1]}
        found["torch_f64_largest"] = max(it["torch_f64"] for it in seeds)
        found |= {count: sum(it[count] for it in seeds) for count in ["tensors", "missed", "torch_missed"]}
        for statistic in ["running_mean", "running_var"]:
            if batch_norm:
                found[statistic] = max(it[statistic] for it in seeds)
        print(json.dumps(found), flush=True)
    sys.exit(0 if good else 1)


main()
