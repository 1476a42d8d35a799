#!/usr/bin/env python3
"""Time and memory of one training step beside PyTorch's on the CPU: same network, batch and number of threads.

The two programs take turns, so that whatever else the machine does hits both alike; of each the least over all turns
counts. Processor time (user and system, all threads; the mean of a turn's steps) says the same on a busy machine, wall
time does not. A development script; trainer/scripts/torchcheck.py tells how to set it up, and that the two compute the
same. In the repository's root:

    VENV/bin/python trainer/benches/step.py target/release/examples/one_step
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

BATCH = 20
# Network, first trained block, whether norms take the batch's statistics.
CASES = {
    "small CNN": ("small-cnn", 0, True),
    "EfficientNet-Lite0 from block 10": ("efficientnet-lite0", 10, False),
    "EfficientNet-Lite0 whole": ("efficientnet-lite0", 0, False),
    "ResNet-18 whole": ("resnet18", 0, False),
    "ResNet-50, last bottleneck": ("resnet50", 17, False),
}


def torch_steps(name, block, batch_norm, steps, threads):
    import timm
    import torch
    import torchvision
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if name == "small-cnn":
        widths, parts = [3, 16, 32, 64, 128, 128], []
        for inputs, outputs in zip(widths, widths[1:]):
            conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
            parts.append(nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU()))
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 3))
    elif name == "efficientnet-lite0":
        net = timm.create_model("tf_efficientnet_lite0", num_classes=3)
        parts = [nn.Sequential(net.conv_stem, net.bn1), *[block for stage in net.blocks for block in stage]]
        parts.append(nn.Sequential(net.conv_head, net.bn2))
        head = nn.Sequential(net.global_pool, net.classifier)
    else:
        net = getattr(torchvision.models, name)(num_classes=3)
        parts = [nn.Sequential(net.conv1, net.bn1, net.relu), net.maxpool]
        parts += [block for layer in [net.layer1, net.layer2, net.layer3, net.layer4] for block in layer]
        head = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
    before, trained = nn.Sequential(*parts[:block]), nn.Sequential(*parts[block:], head)
    before.eval()
    trained.train(batch_norm)
    with torch.no_grad():
        rows = before(torch.randn(BATCH, 3, 224, 224))
    labels, optimiser = torch.arange(BATCH) % 3, torch.optim.Adam(trained.parameters(), 1e-3)
    times = []
    for step in range(steps + 1):
        if step == 1:
            processor = time.process_time()
        start = time.perf_counter()
        optimiser.zero_grad()
        nn.functional.cross_entropy(trained(rows), labels).backward()
        optimiser.step()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    processor = time.process_time() - processor
    print(json.dumps({"seconds": times[1:], "processor": processor, "peak_mib": peak}))


def turn(command, threads):
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the built example one_step, or `torch` in a turn of PyTorch")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="the case whose name holds this")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.program == "torch":
        torch_steps(*CASES[arguments.case], arguments.steps, arguments.threads)
        return
    print("| step of 20 films | chestlight s | PyTorch s | ratio | chestlight processor s | PyTorch processor s | ratio "
          "| chestlight MiB | PyTorch MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, (architecture, block, batch_norm) in CASES.items():
        if arguments.only and arguments.only not in name:
            continue
        ours = [arguments.program, "--architecture", architecture, "--films", str(BATCH), "--from-block", str(block)]
        ours += ["--batch-norm"] if batch_norm else []
        theirs = [sys.executable, __file__, "torch", "--case", name, "--threads", str(arguments.threads)]
        best = [(1e9, 1e9, 0)] * 2
        for _ in range(arguments.turns):
            for who, command in enumerate([ours, theirs]):
                found = turn([*command, "--steps", str(arguments.steps)], arguments.threads)
                wall, processor, peak = best[who]
                processor = min(processor, found["processor"] / arguments.steps)
                best[who] = (min([wall, *found["seconds"]]), processor, max(peak, found["peak_mib"]))
        (mine, my_processor, my_peak), (other, other_processor, other_peak) = best
        print(f"| {name} | {mine:.2f} | {other:.2f} | {mine / other:.2f} | {my_processor:.2f} | {other_processor:.2f} "
              f"| {my_processor / other_processor:.2f} | {my_peak} | {other_peak} |", flush=True)


main()
