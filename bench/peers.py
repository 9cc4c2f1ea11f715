"""Rubato against other runtimes: all-MiniLM-L6-v2 in f32, bf16 and int8, texts to embeddings, tokenising included.

A row is a runtime in one of its own forms of a precision, such as ONNX Runtime's dynamic int8, OpenVINO's bf16 hint,
CTranslate2's int8_bfloat16, llama.cpp's Q8_0 or PyTorch's autocast; FORMS has all. Every peer gets its texts sorted by
length and the best of several batch sizes for each kind of texts; Rubato gets them unsorted. With the settings that were
chosen, every row's vectors are compared with Rubato's in f32. Each round runs every row in turn, so that changes of the
machine's speed affect all alike; medians are reported.

The first line says what was measured where. The table of all rows comes next, then Rubato against the fastest peer of
each precision, and at last the answer to a user who asks for vectors of a certain exactness, whatever the precision:
Rubato's best against the best peer among the rows whose every vector has at least a cosine of 0.999, and of 0.98.
"""
import argparse, csv, ctypes, importlib.metadata, json, os, platform, random, statistics, subprocess, sys, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
MODEL = os.path.join(ROOT, "build/models/all-MiniLM-L6-v2")
WORK = os.path.join(ROOT, "build/peers")
MAX_LENGTH = 256
LIMIT = 1200 # seconds for one answer of a row; then its process is ended
KINDS = ("short", "mixed", "long", "single") # texts; single: short ones in calls of their own, for the latency
FLOORS = (0.999, 0.98)


def texts_of(kind, data):
    with open(os.path.join(data, "sst2/dev.tsv"), encoding="utf-8") as f:
        short = [row["sentence"].strip() for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE)]
    with open(os.path.join(data, "bbc/train.jsonl"), encoding="utf-8") as f:
        long = [json.loads(row)["text"] for row in f][:40]
    if kind == "short": return short
    if kind == "single": return short[:100]
    if kind == "long": return long
    mixed = short[:320] + long[:16]
    random.Random(5).shuffle(mixed)
    return mixed


# ---- Runtimes: each returns functions from texts to an [n, 384] array, by the name of the setting ----

class Input(ctypes.Structure):
    _fields_ = [("text", ctypes.c_char_p), ("text_bytes", ctypes.c_size_t), ("pair", ctypes.c_char_p), ("pair_bytes", ctypes.c_size_t), ("encoding", ctypes.c_void_p)]


class ContextOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("threads", ctypes.c_size_t), ("batch_tokens", ctypes.c_size_t), ("isa", ctypes.c_char_p)]


class LoadOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("precision", ctypes.c_char_p)]


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("line", ctypes.c_size_t), ("message", ctypes.c_char * 480)]


def rubato(threads, form):
    import numpy as np
    lib = ctypes.CDLL(os.path.join(ROOT, "build/librubato.so"))
    model, context, error = ctypes.c_void_p(), ctypes.c_void_p(), Error()

    def call(function, *arguments):
        if getattr(lib, function)(*arguments, ctypes.byref(error)): raise RuntimeError(error.message.decode())
    isa = os.environ.get("RUBATO_ISA")
    call("rubato_model_load_with", ctypes.byref(model), MODEL.encode(), ctypes.byref(LoadOptions(ctypes.sizeof(LoadOptions), form.encode())))
    call("rubato_context_create", ctypes.byref(context), model, ctypes.byref(ContextOptions(ctypes.sizeof(ContextOptions), threads, 0, isa.encode() if isa else None)))

    def run(texts):
        out = np.empty((len(texts), 384), np.float32)
        raw = [t.encode() for t in texts]
        inputs = (Input * len(raw))(*[Input(t, len(t), None, 0, None) for t in raw])
        call("rubato_embed", context, out.ctypes.data_as(ctypes.c_void_p), inputs, ctypes.c_size_t(len(raw)), None, None)
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


def onnxruntime(threads, form):
    import numpy as np, onnxruntime as ort
    path, fused = onnx_file(), os.path.join(WORK, "fused.onnx")
    if not os.path.exists(fused):
        try:
            from onnxruntime.transformers import optimizer
            optimizer.optimize_model(path, model_type="bert", num_heads=12, hidden_size=384).save_model_to_file(fused)
        except Exception as e:
            print("onnxruntime: transformer optimiser failed:", e, file=sys.stderr)
            fused = path
    if form == "int8 dynamic":
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


def openvino_file(form):
    """The ONNX file in f32, or int8 in OpenVINO's ways: weights and activations calibrated on 300 texts, or weights alone
    (activations are then quantised as they come, where the processor can)."""
    made = "calibrated" if "calibrated" in form else "weights" if "weights" in form else None
    path = os.path.join(WORK, f"openvino-int8-{made}.xml") if made else onnx_file()
    if not os.path.exists(path):
        import nncf, numpy as np, openvino as ov
        whole = ov.Core().read_model(onnx_file())
        if made == "weights": model = nncf.compress_weights(whole, mode=nncf.CompressWeightsMode.INT8_SYM)
        else:
            encodings = hf_tokenizer().encode_batch(texts_of("short", os.path.join(ROOT, "../shared/data"))[:300])

            def feed(i):
                ids, mask = padded(encodings, [i])
                return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            model = nncf.quantize(whole, nncf.Dataset(range(len(encodings)), feed), model_type=nncf.ModelType.TRANSFORMER)
        ov.save_model(model, path, compress_to_fp16=False)
    return path


def openvino(threads, form):
    import numpy as np, openvino as ov
    core = ov.Core()
    model = core.read_model(openvino_file(form))
    hint_of = "bf16" if "bf16" in form else "f32"
    made = {}
    for hint in ("LATENCY", "THROUGHPUT"):
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint_of, "PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": threads})
        if hint_of == "bf16" and "bf" not in str(compiled.get_property("INFERENCE_PRECISION_HINT")): raise RuntimeError("has no bf16 on this processor")
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


def ctranslate2(threads, form):
    import numpy as np, ctranslate2 as ct
    if form not in ct.get_supported_compute_types("cpu"): raise RuntimeError(f"has no {form} on this processor")
    path = os.path.join(WORK, "ct2")
    if not os.path.exists(path): ct.converters.TransformersConverter(MODEL).convert(path)
    made, t = {}, hf_tokenizer()
    for inter, intra in {(1, threads), (threads, 1)}:
        e = ct.Encoder(path, device="cpu", compute_type=form, inter_threads=inter, intra_threads=intra)

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
        made.update({f"{inter}x{intra} threads, batch {b}": (lambda texts, b=b, run=run: run(texts, b)) for b in (1, 8, 32)})
    return made


def llamacpp(threads, form):
    import llama_cpp, numpy as np
    path = os.path.join(WORK, "model-F32.gguf")
    if not os.path.exists(path): write_gguf(path)
    if form != "F32":
        whole, path = path, os.path.join(WORK, f"model-{form}.gguf")
        if not os.path.exists(path):
            how = llama_cpp.llama_model_quantize_default_params()
            how.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{form}")
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


def torch_(threads, form):
    import torch
    from transformers import AutoModel
    if "bf16" in form and not torch.ops.mkldnn._is_mkldnn_bf16_supported(): raise RuntimeError("has no fast bf16 on this processor")
    torch.set_num_threads(threads)
    m = AutoModel.from_pretrained(MODEL).eval()
    if form == "bf16 weights": m = m.to(torch.bfloat16)
    if form == "int8 dynamic":
        from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic
        m = quantize_dynamic(m, {torch.nn.Linear: per_channel_dynamic_qconfig})

    def forward(ids, mask):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=form == "bf16 autocast"):
            return mean_pool(m(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state.float().numpy(), mask)
    return {f"batch {b}": batched(forward, b) for b in (1, 8, 32)}


RUNTIMES = {"rubato": (rubato, None), "onnxruntime": (onnxruntime, "onnxruntime"), "openvino": (openvino, "openvino"),
            "ctranslate2": (ctranslate2, "ctranslate2"), "llama.cpp": (llamacpp, "llama-cpp-python"), "pytorch": (torch_, "torch")}
PRECISIONS = ("f32", "bf16", "int8")
# runtime, precision, the runtime's own form of it
FORMS = [("rubato", "f32", "f32"), ("rubato", "bf16", "bf16"), ("rubato", "int8", "int8"),
         ("onnxruntime", "f32", "f32"), ("onnxruntime", "int8", "int8 dynamic"),
         ("openvino", "f32", "f32"), ("openvino", "bf16", "bf16"), ("openvino", "int8", "int8 calibrated"), ("openvino", "int8", "int8 calibrated, bf16"), ("openvino", "int8", "int8 weights"),
         ("ctranslate2", "f32", "float32"), ("ctranslate2", "bf16", "bfloat16"), ("ctranslate2", "int8", "int8_float32"), ("ctranslate2", "int8", "int8_bfloat16"),
         ("llama.cpp", "f32", "F32"), ("llama.cpp", "bf16", "F16"), ("llama.cpp", "bf16", "BF16"), ("llama.cpp", "int8", "Q8_0"),
         ("pytorch", "f32", "f32"), ("pytorch", "bf16", "bf16 weights"), ("pytorch", "bf16", "bf16 autocast"), ("pytorch", "int8", "int8 dynamic")]


def timed(run, kind, texts):
    """The vectors of all texts, and the seconds that they took; of single texts the median's."""
    import numpy as np
    calls = [[t] for t in texts] if kind == "single" else [texts]
    for call in calls[:20] if kind == "single" else []: run(call)
    vectors, seconds = [], []
    for call in calls:
        begin = time.perf_counter()
        vectors.append(run(call))
        seconds.append(time.perf_counter() - begin)
    return np.concatenate(vectors), statistics.median(seconds)


def worker(name, form, threads, data):
    """Answers requests for measurements on standard input, {"kind", "setting", "every", "keep"} in each line."""
    import numpy as np
    runs = RUNTIMES[name][0](threads, form)
    print(json.dumps({"settings": list(runs)}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        vectors, seconds = timed(runs[job["setting"]], job["kind"], texts_of(job["kind"], data)[::job.get("every", 1)])
        if "keep" in job: np.save(job["keep"], vectors)
        print(json.dumps({"seconds": seconds}), flush=True)


class Row:
    """A runtime in one form, in a process of its own."""

    def __init__(self, name, precision, form, threads, data):
        self.name, self.precision, self.form = name, precision, form
        self.title = f"{name} {form}"
        self.files = os.path.join(WORK, self.title.replace(",", "").replace(" ", "-"))
        self.best, self.times, self.cosine = {}, {k: [] for k in KINDS}, 1.0
        cores = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[:threads])
        env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_CORETYPE")}
        env.update(OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true", HF_HUB_OFFLINE="1")
        self.p = subprocess.Popen(["taskset", "-c", cores, sys.executable, os.path.abspath(__file__), "--worker", name, "--form", form, "--threads", str(threads), "--data", data],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.files + ".log", "w"), text=True, env=env)
        self.settings = self.read()["settings"]

    def read(self):
        timer = threading.Timer(LIMIT, self.p.kill)
        timer.start()
        try:
            for line in self.p.stdout:
                if line.startswith("{"): return json.loads(line)
        finally: timer.cancel()
        said = [l.strip() for l in open(self.files + ".log", errors="replace") if l.strip()]
        raise RuntimeError(f"stopped with {self.p.wait()}: " + (said[-1] if said else f"no word in {self.files}.log"))

    def ask(self, **job):
        try:
            self.p.stdin.write(json.dumps(job) + "\n")
            self.p.stdin.flush()
        except BrokenPipeError: pass # read() says why
        return self.read()["seconds"]

    def choose(self):
        """The fastest setting for each kind of texts, tried on a fifth of the texts."""
        for kind in KINDS: self.best[kind] = min(self.settings, key=lambda s: self.ask(kind=kind, setting=s, every=5))

    def compare(self, reference):
        """The least cosine of the vectors to the reference's, with the settings that were chosen."""
        import numpy as np
        for kind in KINDS:
            self.ask(kind=kind, setting=self.best[kind], keep=self.files + ".npy")
            mine, right = np.load(self.files + ".npy"), reference[kind]
            cosines = (mine * right).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(right, axis=1)
            self.cosine = min(self.cosine, float(np.nan_to_num(cosines, nan=-1).min()))

    def measure(self, kind):
        self.times[kind].append(self.ask(kind=kind, setting=self.best[kind]))
        print(f"{self.title}, {kind} [{self.best[kind]}]: {self.times[kind][-1]:.4f} s", file=sys.stderr, flush=True)

    def median(self, kind): return statistics.median(self.times[kind])

    def end(self):
        self.p.kill()
        self.p.wait()


def each(rows, do):
    """Does something with every row; a row that fails is told of and ends."""
    for row in list(rows):
        try: do(row)
        except Exception as e:
            print(f"{row.title}: {e}", file=sys.stderr, flush=True)
            row.end()
            rows.remove(row)


def begin(o):
    """The rows that start."""
    rows, versions = [], {}
    for name, (_, package) in RUNTIMES.items():
        if o.only and name not in ["rubato", *o.only.split(",")]: continue
        try: versions[name] = importlib.metadata.version(package) if package else own_version()
        except importlib.metadata.PackageNotFoundError: print(f"{name}: {package} is not installed", file=sys.stderr, flush=True)
    for name, precision, form in FORMS:
        if name not in versions or o.precision not in ("all", precision): continue
        try: rows.append(Row(name, precision, form, o.threads, o.data))
        except Exception as e: print(f"{name} {form}: {e}", file=sys.stderr, flush=True)
        else: print(f"{name} {form}: ready", file=sys.stderr, flush=True)
    return rows, versions


def machine():
    """The processor by its name, and by the numbers that tell apart what virtual machines give one name."""
    facts = dict(map(str.strip, l.split(":", 1)) for l in open("/proc/cpuinfo") if ":" in l)
    numbers = f" (family {facts['cpu family']} model {facts['model']})" if "cpu family" in facts else ""
    return facts.get("model name", platform.machine()) + numbers


def own_version():
    """Rubato's version, and the instructions that low precisions use."""
    program = os.path.join(ROOT, "build/rubato")
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.split()[1]
    facts = json.loads(subprocess.run([program, "info", MODEL, "--precision", "int8", "--json", "--quiet"], capture_output=True, text=True).stdout)
    return f"{said} ({facts['kernels']}{'; no tiles: ' if facts['no_tiles'] else ''}{facts['no_tiles']})"


def against(rows, counts):
    """The table of Rubato's fastest row against the fastest peer, for each kind of texts."""
    ours, peers = ([r for r in rows if (r.name == "rubato") == own] for own in (True, False))
    print("| | Rubato's best | best peer, its setting | Rubato against it |\n|---|---|---|---|")

    def told(row, kind):
        if not row: return "none"
        value = f"{row.median(kind) * 1e3:.2f}" if kind == "single" else f"{counts[kind] / row.median(kind):.1f}"
        return f"{value} ({row.form if row.name == 'rubato' else row.title}{', ' if row.best[kind] else ''}{row.best[kind]})"
    for kind in KINDS:
        mine, other = (min(some, key=lambda r: r.median(kind), default=None) for some in (ours, peers))
        ratio = other.median(kind) / mine.median(kind) if mine and other else None
        text = "" if not ratio else f"{1 / ratio:.2f}x the time" if kind == "single" else f"{ratio:.2f}x the throughput"
        print(f"| {'batch 1, ms' if kind == 'single' else kind + ', texts/s'} | {told(mine, kind)} | {told(other, kind)} | {text} |")


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    a.add_argument("--data", default=os.path.join(ROOT, "../shared/data"))
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--only", default="", help="names of peers, with commas")
    a.add_argument("--precision", default="all", choices=["all", *PRECISIONS])
    a.add_argument("--worker", help=argparse.SUPPRESS)
    a.add_argument("--form", help=argparse.SUPPRESS)
    o = a.parse_args()
    os.makedirs(WORK, exist_ok=True)
    if o.worker: return worker(o.worker, o.form, o.threads, o.data)
    import numpy as np
    rows, versions = begin(o)
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(f"{machine()}, {o.threads} thread{'s' if o.threads > 1 else ''}; {named}; all-MiniLM-L6-v2, texts to embeddings, median of {o.rounds} round{'s' if o.rounds > 1 else ''}", flush=True)
    exact, reference = Row("rubato", "f32", "f32", o.threads, o.data), {}
    for kind in KINDS:
        exact.ask(kind=kind, setting="", keep=exact.files + ".npy")
        reference[kind] = np.load(exact.files + ".npy")
    exact.end()

    def prepare(row):
        row.choose()
        row.compare(reference)
        print(f"{row.title}: settings chosen, least cosine {row.cosine:.6f}", file=sys.stderr, flush=True)
    each(rows, prepare)
    for number in range(o.rounds):
        print(f"round {number + 1} of {o.rounds}", file=sys.stderr, flush=True)
        for kind in KINDS: each(rows, lambda row: row.measure(kind))
    counts = {k: len(texts_of(k, o.data)) for k in KINDS}
    print("\n| runtime | form | short, texts/s | mixed, texts/s | long, texts/s | batch 1, ms | least cosine to our f32 |\n|---|---|---|---|---|---|---|")
    for r in rows:
        rates = " | ".join(f"{counts[k] / r.median(k):.1f}" for k in KINDS if k != "single")
        print(f"| {r.name} | {r.form} | {rates} | {r.median('single') * 1e3:.2f} | {r.cosine:.6f} |")
    for precision in PRECISIONS:
        same = [r for r in rows if r.precision == precision]
        if not same: continue
        print(f"\nIn {precision}, whatever the cosine:\n")
        against(same, counts)
    for floor in FLOORS:
        print(f"\nIn any precision that was measured, where every cosine is at least {floor}:\n")
        against([r for r in rows if r.cosine >= floor], counts)
    for r in rows: r.end()


main()
