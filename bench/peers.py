"""Rubato against other runtimes: all-MiniLM-L6-v2 in f32, bf16 or int8, texts to embeddings, tokenising included.

Every runtime gets its texts sorted by length and the best of several batch sizes; Rubato gets them unsorted. Each round
runs every runtime in turn, so that changes of the machine's speed affect all alike; medians are reported. Before timing,
every runtime's vectors are compared with Rubato's in f32. In a lower precision every runtime uses its own form: ONNX
Runtime's dynamic int8, OpenVINO's bf16 hint and nncf's calibrated int8, CTranslate2's int8 types, llama.cpp's Q8_0,
PyTorch's bfloat16 weights and dynamic int8.
"""
import argparse, csv, ctypes, importlib.metadata, json, os, platform, random, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
MODEL = os.path.join(ROOT, "build/models/all-MiniLM-L6-v2")
WORK = os.path.join(ROOT, "build/peers")
MAX_LENGTH = 256


def texts_of(kind, data):
    with open(os.path.join(data, "sst2/dev.tsv"), encoding="utf-8") as f:
        short = [row["sentence"].strip() for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE)]
    with open(os.path.join(data, "bbc/train.jsonl"), encoding="utf-8") as f:
        long = [json.loads(row)["text"] for row in f][:40]
    if kind == "short": return short
    if kind == "long": return long
    mixed = short[:320] + long[:16]
    random.Random(5).shuffle(mixed)
    return mixed


# ---- Runtimes: each returns functions from texts to an [n, 384] array, by the name of the setting ----

class Input(ctypes.Structure):
    _fields_ = [("text", ctypes.c_char_p), ("text_bytes", ctypes.c_size_t), ("pair", ctypes.c_char_p), ("pair_bytes", ctypes.c_size_t)]


class ContextOptions(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_size_t), ("batch_tokens", ctypes.c_size_t), ("isa", ctypes.c_char_p)]


class LoadOptions(ctypes.Structure):
    _fields_ = [("precision", ctypes.c_char_p)]


def rubato(threads, precision):
    import numpy as np
    lib = ctypes.CDLL(os.path.join(ROOT, "build/librubato.so"))
    model, context, error = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.create_string_buffer(1024)
    load = LoadOptions(precision.encode())
    assert lib.rubato_model_load_with(ctypes.byref(model), MODEL.encode(), ctypes.byref(load), error) == 0, error.raw
    options = ContextOptions(threads, 0, None)
    assert lib.rubato_context_create(ctypes.byref(context), model, ctypes.byref(options), error) == 0, error.raw

    def run(texts):
        out = np.empty((len(texts), 384), np.float32)
        raw = [t.encode() for t in texts]
        inputs = (Input * len(raw))(*[Input(t, len(t), None, 0) for t in raw])
        assert lib.rubato_embed(context, out.ctypes.data_as(ctypes.c_void_p), inputs, ctypes.c_size_t(len(raw)), None, None, error) == 0, error.raw
        return out
    return {"": run}


def hf_tokenizer():
    from tokenizers import Tokenizer
    t = Tokenizer.from_file(os.path.join(MODEL, "tokenizer.json"))
    t.enable_truncation(MAX_LENGTH)
    t.no_padding()
    return t


def mean_pool(hidden, mask):
    import numpy as np
    m = mask[:, :, None].astype(np.float32)
    v = (hidden * m).sum(1) / m.sum(1)
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def parts_of(encodings, batch):
    """Indices of the texts, longest first, in batches."""
    order = sorted(range(len(encodings)), key=lambda i: -len(encodings[i].ids))
    return [order[at:at + batch] for at in range(0, len(order), batch)]


def padded(encodings, part):
    """Ids and mask of a batch, padded to its longest."""
    import numpy as np
    shape = len(part), max(len(encodings[i].ids) for i in part)
    ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, i in enumerate(part):
        ids[row, :len(encodings[i].ids)], mask[row, :len(encodings[i].ids)] = encodings[i].ids, 1
    return ids, mask


def batched(forward, batch):
    """Runs batches one after the other and restores the order."""
    import numpy as np
    t = hf_tokenizer()

    def run(texts):
        enc = t.encode_batch(texts)
        out = np.empty((len(texts), 384), np.float32)
        for part in parts_of(enc, batch): out[part] = forward(*padded(enc, part))
        return out
    return run


def onnx_file():
    path = os.path.join(WORK, "model.onnx")
    if not os.path.exists(path):
        import torch
        from transformers import AutoModel
        m = AutoModel.from_pretrained(MODEL, attn_implementation="eager").eval()

        class Wrap(torch.nn.Module):
            def __init__(self): super().__init__(); self.m = m
            def forward(self, input_ids, attention_mask, token_type_ids): return self.m(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state
        x = torch.ones(2, 8, dtype=torch.long)
        torch.onnx.export(Wrap(), (x, x, x * 0), path, input_names=["input_ids", "attention_mask", "token_type_ids"], output_names=["h"], opset_version=17, dynamo=False,
                          dynamic_axes={k: {0: "b", 1: "n"} for k in ("input_ids", "attention_mask", "token_type_ids", "h")})
    return path


def onnxruntime(threads, precision):
    import numpy as np, onnxruntime as ort
    if precision == "bf16": raise RuntimeError("has no bf16 on processors")
    path, fused = onnx_file(), os.path.join(WORK, "fused.onnx")
    if not os.path.exists(fused):
        try:
            from onnxruntime.transformers import optimizer
            optimizer.optimize_model(path, model_type="bert", num_heads=12, hidden_size=384).save_model_to_file(fused)
        except Exception as e:
            print("onnxruntime: transformer optimiser failed:", e, file=sys.stderr)
            fused = path
    if precision == "int8":
        from onnxruntime.quantization import quantize_dynamic
        whole, fused = fused, os.path.join(WORK, "fused-int8.onnx")
        if not os.path.exists(fused): quantize_dynamic(whole, fused, per_channel=True, reduce_range=False, extra_options={"DefaultTensorType": 1})
    o = ort.SessionOptions()
    o.intra_op_num_threads, o.inter_op_num_threads = threads, 1
    o.execution_mode, o.graph_optimization_level = ort.ExecutionMode.ORT_SEQUENTIAL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    s = ort.InferenceSession(fused, o, providers=["CPUExecutionProvider"])
    names = [i.name for i in s.get_inputs()]

    def forward(ids, mask):
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return mean_pool(s.run(None, {k: feed[k].astype(np.int32) if "int32" in t else feed[k] for k, t in ((i.name, i.type) for i in s.get_inputs())})[0], mask)
    return {f"batch {b}": batched(forward, b) for b in (1, 8, 32)}


def calibrated_file():
    """OpenVINO's form of int8: weights and activations, calibrated on 300 texts."""
    path = os.path.join(WORK, "openvino-int8.xml")
    if not os.path.exists(path):
        import nncf, numpy as np, openvino as ov
        t = hf_tokenizer()
        encodings = t.encode_batch(texts_of("short", os.path.join(ROOT, "../shared/data"))[:300])

        def feed(i):
            ids, mask = padded(encodings, [i])
            return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        made = nncf.quantize(ov.Core().read_model(onnx_file()), nncf.Dataset(range(len(encodings)), feed), model_type=nncf.ModelType.TRANSFORMER)
        ov.save_model(made, path)
    return path


def openvino(threads, precision):
    import numpy as np, openvino as ov
    core = ov.Core()
    model = core.read_model(calibrated_file() if precision == "int8" else onnx_file())
    hint_of = "bf16" if precision == "bf16" else "f32"
    made = {}
    for hint in ("LATENCY", "THROUGHPUT"):
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint_of, "PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": threads})
        if hint == "LATENCY":
            request = compiled.create_infer_request()

            def forward(ids, mask, request=request):
                return mean_pool(request.infer({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})[0], mask)
            made.update({f"latency, batch {b}": batched(forward, b) for b in (1, 8, 32)})
            continue
        queue = ov.AsyncInferQueue(compiled)
        t = hf_tokenizer()

        def run(texts, batch, queue=queue):
            enc = t.encode_batch(texts)
            out = np.empty((len(texts), 384), np.float32)

            def done(request, user):
                part, mask = user
                out[part] = mean_pool(request.get_output_tensor(0).data, mask)
            queue.set_callback(done)
            for part in parts_of(enc, batch):
                ids, mask = padded(enc, part)
                queue.start_async({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}, (part, mask))
            queue.wait_all()
            return out
        made.update({f"throughput, batch {b}": (lambda texts, b=b: run(texts, b)) for b in (1, 8, 32)})
    return made


def ctranslate2(threads, precision):
    import numpy as np, ctranslate2 as ct
    path = os.path.join(WORK, "ct2")
    if not os.path.exists(path): ct.converters.TransformersConverter(MODEL).convert(path)
    made, t = {}, hf_tokenizer()
    types = {"f32": ["float32"], "bf16": ["bfloat16"], "int8": ["int8_float32", "int8_bfloat16"]}[precision]
    types = [k for k in types if k in ct.get_supported_compute_types("cpu")]
    if not types: raise RuntimeError(f"has no {precision} here")
    for inter, intra, kind in [(i, j, k) for i, j in {(1, threads), (threads, 1)} for k in types]:
        e = ct.Encoder(path, device="cpu", compute_type=kind, inter_threads=inter, intra_threads=intra)

        def run(texts, batch, e=e, inter=inter):
            enc = t.encode_batch(texts)
            out = np.empty((len(texts), 384), np.float32)
            parts = parts_of(enc, batch)

            def one(part):
                h = np.array(e.forward_batch([enc[i].ids for i in part]).last_hidden_state)
                out[part] = mean_pool(h, padded(enc, part)[1])
            if inter == 1:
                for p in parts: one(p)
            else:
                from concurrent.futures import ThreadPoolExecutor
                with ThreadPoolExecutor(inter) as pool: list(pool.map(one, parts))
            return out
        made.update({f"{kind + ', ' if precision == 'int8' else ''}{inter}x{intra} threads, batch {b}": (lambda texts, b=b, run=run: run(texts, b)) for b in (1, 8, 32)})
    return made


def llamacpp(threads, precision):
    import llama_cpp, numpy as np
    path = os.path.join(WORK, "model-f32.gguf")
    if not os.path.exists(path): write_gguf(path)
    if precision != "f32":
        whole, path = path, os.path.join(WORK, f"model-{precision}.gguf")
        if not os.path.exists(path):
            how = llama_cpp.llama_model_quantize_default_params()
            how.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0 if precision == "int8" else llama_cpp.LLAMA_FTYPE_MOSTLY_BF16
            if llama_cpp.llama_model_quantize(whole.encode(), path.encode(), ctypes.byref(how)): raise RuntimeError("cannot quantise")
    from llama_cpp import Llama
    m = Llama(path, embedding=True, n_ctx=8192, n_batch=8192, n_ubatch=8192, n_threads=threads, n_threads_batch=threads, verbose=False)

    t = hf_tokenizer()

    def run(texts, size):
        # llama.cpp's tokenizer does not truncate, so texts are cut at the end of the 256th token
        cut = [x[:e.offsets[-2][1]] if len(e.ids) == MAX_LENGTH else x for x, e in zip(texts, t.encode_batch(texts))]
        # texts of one call share one attention mask, whose cost grows with the square of their tokens, so calls are small
        return np.concatenate([np.array(m.embed(cut[i:i + size], normalize=True), np.float32) for i in range(0, len(cut), size)])
    return {f"batch {size}": (lambda texts, size=size: run(texts, size)) for size in (1, 8)}


def write_gguf(path):
    import gguf, numpy as np
    from safetensors.numpy import load_file
    w, c = load_file(os.path.join(MODEL, "model.safetensors")), json.load(open(os.path.join(MODEL, "config.json")))
    g = gguf.GGUFWriter(path, "bert")
    n = c["num_hidden_layers"]
    g.add_block_count(n); g.add_context_length(512); g.add_embedding_length(384); g.add_feed_forward_length(1536); g.add_head_count(12)
    g.add_layer_norm_eps(1e-12); g.add_causal_attention(False); g.add_pooling_type(gguf.PoolingType.MEAN); g.add_file_type(0)
    vocab = [l.rstrip("\n") for l in open(os.path.join(MODEL, "vocab.txt"), encoding="utf-8")]
    phantom = [x if x.startswith("[") and x.endswith("]") else x[2:] if x.startswith("##") else "\u2581" + x for x in vocab]
    types = [gguf.TokenType.CONTROL if x in ("[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]") else gguf.TokenType.NORMAL for x in vocab]
    g.add_tokenizer_model("bert"); g.add_tokenizer_pre("jina-v2-en"); g.add_token_list(phantom); g.add_token_types(types); g.add_token_type_count(2)
    g.add_sep_token_id(102); g.add_pad_token_id(0); g.add_mask_token_id(103); g.add_unk_token_id(100)
    g.add_bos_token_id(101); g.add_eos_token_id(102)
    names = {"embeddings.word_embeddings.weight": "token_embd.weight", "embeddings.position_embeddings.weight": "position_embd.weight", "embeddings.token_type_embeddings.weight": "token_types.weight",
             "embeddings.LayerNorm": "token_embd_norm"}
    layer = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v", "attention.output.dense": "attn_output",
             "attention.output.LayerNorm": "attn_output_norm", "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}
    for k, v in w.items():
        if k in names: g.add_tensor(names[k], v.astype(np.float32))
        elif k.startswith("embeddings.LayerNorm"): g.add_tensor("token_embd_norm." + k.rsplit(".", 1)[1], v)
        elif k.startswith("encoder.layer."):
            _, _, i, rest = k.split(".", 3)
            part, kind = rest.rsplit(".", 1)
            g.add_tensor(f"blk.{i}.{layer[part]}.{kind}", v)
    g.write_header_to_file(); g.write_kv_data_to_file(); g.write_tensors_to_file(); g.close()


def torch_(threads, precision):
    import torch
    from transformers import AutoModel
    torch.set_num_threads(threads)
    m = AutoModel.from_pretrained(MODEL).eval()
    if precision == "bf16": m = m.to(torch.bfloat16)
    if precision == "int8": m = torch.ao.quantization.quantize_dynamic(m, {torch.nn.Linear}, dtype=torch.qint8)

    def forward(ids, mask):
        with torch.inference_mode():
            return mean_pool(m(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state.float().numpy(), mask)
    return {f"batch {b}": batched(forward, b) for b in (1, 8, 32)}


RUNTIMES = {"rubato": (rubato, None), "onnxruntime": (onnxruntime, "onnxruntime"), "openvino": (openvino, "openvino"),
            "ctranslate2": (ctranslate2, "ctranslate2"), "llama.cpp": (llamacpp, "llama-cpp-python"), "pytorch": (torch_, "torch")}


def worker(name, threads, data, precision):
    """Answers requests for measurements on standard input, {"kind", "setting", "check"} in each line."""
    import numpy as np
    runs = RUNTIMES[name][0](threads, precision)
    print(json.dumps({"settings": list(runs)}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        run = runs[job["setting"]]
        if job["kind"] == "latency":
            one = texts_of("short", data)[:100]
            for t in one[:20]: run([t])
            times = []
            for t in one:
                begin = time.perf_counter()
                run([t])
                times.append(time.perf_counter() - begin)
            print(json.dumps({"seconds": statistics.median(times)}), flush=True)
            continue
        texts = texts_of(job["kind"], data)[::job.get("every", 1)]
        if job.get("check"):
            np.save(job["check"], run(texts))
            print(json.dumps({}), flush=True)
            continue
        begin = time.perf_counter()
        run(texts)
        print(json.dumps({"seconds": time.perf_counter() - begin}), flush=True)


class Worker:
    def __init__(self, name, threads, data, precision):
        cores = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[:threads])
        env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_CORETYPE")}
        env.update(OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true", HF_HUB_OFFLINE="1")
        self.p = subprocess.Popen(["taskset", "-c", cores, sys.executable, os.path.abspath(__file__), "--worker", name, "--threads", str(threads), "--data", data, "--precision", precision],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(os.path.join(WORK, f"{name}.log"), "w"), text=True, env=env)
        self.settings = self.read()["settings"]

    def read(self):
        for line in self.p.stdout:
            if line.startswith("{"): return json.loads(line)
        raise RuntimeError("stopped; see its log in build/peers")

    def ask(self, **job):
        self.p.stdin.write(json.dumps(job) + "\n")
        self.p.stdin.flush()
        return self.read()


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    a.add_argument("--data", default=os.path.join(ROOT, "../shared/data"))
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--only", default="")
    a.add_argument("--precision", default="f32", choices=["f32", "bf16", "int8"])
    a.add_argument("--worker")
    o = a.parse_args()
    os.makedirs(WORK, exist_ok=True)
    if o.worker: return worker(o.worker, o.threads, o.data, o.precision)
    import numpy as np
    workers, versions = {}, {}
    for name, (_, package) in RUNTIMES.items():
        if o.only and name not in o.only.split(",") and name != "rubato": continue
        try:
            workers[name] = Worker(name, o.threads, o.data, o.precision)
            versions[name] = importlib.metadata.version(package) if package else subprocess.run([os.path.join(ROOT, "build/rubato"), "--version"], capture_output=True, text=True).stdout.split()[1]
        except Exception as e:
            print(f"{name}: {e}", file=sys.stderr)
    kinds = ("short", "mixed", "long")
    agreement, best = {}, {}
    exact = Worker("rubato", o.threads, o.data, "f32")
    for kind in ("short", "long"): exact.ask(kind=kind, setting="", check=os.path.join(WORK, f"reference-{kind}.npy"))
    exact.p.kill()
    for name, w in workers.items():
        path = os.path.join(WORK, f"{name}.npy")
        worst = 1.0
        for kind in ("short", "long"):
            w.ask(kind=kind, setting=w.settings[-1], check=path)
            mine = np.load(path)
            ours = np.load(os.path.join(WORK, f"reference-{kind}.npy"))
            cosines = (mine * ours).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(ours, axis=1)
            worst = min(worst, float(cosines.min()))
        agreement[name] = worst
        for kind in kinds:
            best[name, kind] = min(w.settings, key=lambda s: w.ask(kind=kind, setting=s, every=5)["seconds"])
        print(f"{name}: settings chosen", file=sys.stderr, flush=True)
        best[name, "latency"] = min(w.settings, key=lambda s: w.ask(kind="latency", setting=s)["seconds"])
    times = {}
    for number in range(o.rounds):
        print(f"round {number + 1} of {o.rounds}", file=sys.stderr, flush=True)
        for kind in (*kinds, "latency"):
            for name, w in workers.items():
                times.setdefault((name, kind), []).append(w.ask(kind=kind, setting=best[name, kind])["seconds"])
                print(f"{name} {kind} [{best[name, kind]}]: {times[name, kind][-1]:.4f} s", file=sys.stderr, flush=True)
    median = {k: statistics.median(v) for k, v in times.items()}
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    counts = {k: len(texts_of(k, o.data)) for k in kinds}
    print(f"{cpu}, {o.threads} thread{'s' if o.threads > 1 else ''}, all-MiniLM-L6-v2 {o.precision}, texts to embeddings, median of {o.rounds} rounds\n")
    print("| runtime | version | short, texts/s | mixed, texts/s | long, texts/s | batch 1, ms | least cosine to our f32 |")
    print("|---|---|---|---|---|---|---|")
    for name in workers:
        rate = [f"{counts[k] / median[name, k]:.1f}" for k in kinds]
        print(f"| {name} | {versions[name]} | {rate[0]} | {rate[1]} | {rate[2]} | {median[name, 'latency'] * 1e3:.2f} | {agreement[name]:.6f} |")
    peers = [n for n in workers if n != "rubato"]
    if peers:
        print("\n| Rubato against the fastest peer | ratio | peer, its setting |")
        print("|---|---|---|")
        for kind in (*kinds, "latency"):
            p = min(peers, key=lambda n: median[n, kind])
            ratio = median[p, kind] / median["rubato", kind]
            text = f"{1 / ratio:.2f}x the time" if kind == "latency" else f"{ratio:.2f}x the throughput"
            print(f"| {kind if kind != 'latency' else 'batch 1 latency'} | {text} | {p}, {best[p, kind] or 'as it is'} |")
    for w in workers.values(): w.p.kill()


main()
