#!/usr/bin/env python3
"""Writes tests/model/activation_values.h: what transformers' activations and their derivatives are at some numbers. Needs torch
and transformers.

    tests/model/make_activations.py > tests/model/activation_values.h
"""
import torch
from transformers.activations import ACT2CLS, ACT2FN

POINTS = [-30.0, -11.0, -6.5, -3.25, -2.5, -1.0, -0.3, -0.001, 0.001, 0.4, 0.707, 1.0, 2.75, 3.5, 5.5, 6.25, 10.5, 25.0]
print("/* Made by make_activations.py. */")
print(f"static const float points[] = {{{', '.join(f'{p}f' for p in POINTS)}}};")
print("static const struct {\n    const char *name;\n    double values[sizeof points / sizeof *points], slopes[sizeof points / sizeof *points];\n} wanted[] = {")
for name in sorted(ACT2CLS):
    if name in ("prelu", "xielu"): continue
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    y = ACT2FN[name](x)
    slope, = torch.autograd.grad(y.sum(), x)
    show = lambda t: ", ".join(f"{float(v):.7g}" if abs(float(v)) > 1e-9 else "0" for v in t)
    print(f"    {{\"{name}\", {{{show(y.detach())}}}, {{{show(slope)}}}}},")
print("};")
