"""Real clients, as far as they are installed, against a running server: change the base URL, nothing else.

    clients.py URL     a server with an embedding model "e" and others

Prints a line a client: its name, "ok", or what went wrong.
"""
import json, sys, urllib.request

url = sys.argv[1]
TEXT = "hello world"


def ask(path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))


want = ask("/embed", {"inputs": TEXT})[0]
def same(vector): assert len(vector) == len(want) and max(abs(a - b) for a, b in zip(vector, want)) < 1e-5, vector[:4]


def openai_():
    import openai
    same(openai.OpenAI(base_url=url + "/v1", api_key="none").embeddings.create(model="e", input=[TEXT]).data[0].embedding)


def hub():
    import huggingface_hub
    same([float(x) for x in huggingface_hub.InferenceClient(model=url).feature_extraction(TEXT)[0]])


def langchain_openai():
    from langchain_openai import OpenAIEmbeddings
    e = OpenAIEmbeddings(model="e", base_url=url + "/v1", api_key="none", check_embedding_ctx_length=False)
    same(e.embed_query(TEXT)); same(e.embed_documents(["foo", TEXT])[1])


def llama_index():
    from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
    e = TextEmbeddingsInference(model_name="e", base_url=url, query_instruction="", text_instruction="")
    same(e.get_query_embedding(TEXT)); same(e.get_text_embedding_batch(["foo", TEXT])[1])


def cohere_():
    import cohere
    out = cohere.ClientV2(api_key="none", base_url=url).rerank(model="e", query=TEXT, documents=["foo", TEXT], top_n=2)
    assert out.results[0].index == 1 and abs(out.results[0].relevance_score - 1) < 1e-5, out


def haystack():
    from haystack.components.embedders import OpenAITextEmbedder
    from haystack.utils import Secret
    same(OpenAITextEmbedder(model="e", api_base_url=url + "/v1", api_key=Secret.from_token("none")).run(TEXT)["embedding"])


for name, run in (("openai", openai_), ("huggingface_hub", hub), ("langchain-openai", langchain_openai),
                  ("llama-index TextEmbeddingsInference", llama_index), ("cohere", cohere_), ("haystack", haystack)):
    try:
        run()
        print(f"{name}: ok")
    except ImportError as e: print(f"{name}: not installed ({e})")
    except Exception as e: print(f"{name}: FAILED {type(e).__name__}: {str(e)[:300]}")
