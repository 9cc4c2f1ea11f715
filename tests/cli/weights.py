"""Reading and changing the weights of small folders: safetensors files as dictionaries."""
import json, os, struct


def tensors(folder):
    """Of each name: (type, shape, bytes)."""
    data = open(os.path.join(folder, "model.safetensors"), "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:8 + size]), data[8 + size:]
    return {k: (v["dtype"], v["shape"], body[slice(*v["data_offsets"])]) for k, v in header.items() if k != "__metadata__"}


def write_tensors(folder, wanted):
    header, body = {}, b""
    for name, (kind, shape, data) in wanted.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = os.path.join(folder, "model.safetensors")
    if os.path.lexists(path): os.remove(path)  # perhaps a link to a golden file
    with open(path, "wb") as f: f.write(struct.pack("<Q", len(text)) + text + body)


def floats(values): return ("F32", [len(values)], struct.pack(f"<{len(values)}f", *values))
