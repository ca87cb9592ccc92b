"""What a user has without us: Transformers' own Phi and SigLIP modules at Mipha-3B's sizes, random weights, FP16, in the same run as our figures.

pytorch.py           one line of JSON per figure: medians of repeated runs
pytorch.py --lacks   prints what is missing and ends with status 1, silent and 0 when nothing is
"""

import importlib.util
import json
import statistics
import sys
import time

REPEATS = 9
PICTURE_ROWS, TEXT_ROWS = 729, 30


def lacks():
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        return " and ".join(missing)
    import torch

    return "" if torch.cuda.is_available() else "a GPU that torch can use"


def say(name, **facts):
    print(json.dumps({"step": "pytorch", "name": name, **facts}, separators=(",", ":")), flush=True)


def median_ms(run):
    import torch

    for _ in range(3):
        run()
    taken = []
    for _ in range(REPEATS):
        torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        torch.cuda.synchronize()
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken)


def as_graph(run):
    """A CUDA graph of run(), or run() itself and why."""
    import torch

    try:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return graph.replay, "graph"
    except Exception as error:  # capture fails in many ways, and eager figures are still figures
        torch.cuda.synchronize()
        return run, f"no graph: {str(error).splitlines()[0][:120]}"


def measure(name, run, **facts):
    try:
        run, how = as_graph(run)
        say(name, ms=round(median_ms(run), 3), how=how, **facts)
    except Exception as error:
        say(name, failed=f"{type(error).__name__}: {str(error).splitlines()[0][:160]}", **facts)


def tower():
    import torch
    from transformers import SiglipVisionConfig, SiglipVisionModel

    config = SiglipVisionConfig(
        hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16, image_size=384, patch_size=14
    )
    config._attn_implementation = "sdpa"
    model = SiglipVisionModel(config).eval()
    pixels = torch.randn(1, 3, 384, 384, device="cuda", dtype=torch.float16)
    measure("SigLIP tower, one picture", lambda: model(pixels))


def decoder():
    import torch
    from transformers import PhiConfig, PhiForCausalLM, StaticCache

    config = PhiConfig(
        vocab_size=51200,
        hidden_size=2560,
        intermediate_size=10240,
        num_hidden_layers=32,
        num_attention_heads=32,
        partial_rotary_factor=0.4,
        max_position_embeddings=2048,
    )
    config._attn_implementation = "sdpa"
    model = PhiForCausalLM(config).eval()

    def cache_of(batch):
        sizes = {"max_cache_len": 2048, "device": "cuda", "dtype": torch.float16}
        try:
            return StaticCache(config, max_batch_size=batch, **sizes)
        except TypeError:  # newer versions take the batch from the first call
            return StaticCache(config=config, max_cache_len=2048)

    rows = PICTURE_ROWS + TEXT_ROWS
    prompt = torch.randn(1, rows, 2560, device="cuda", dtype=torch.float16)
    positions = torch.arange(rows, device="cuda")
    cache = cache_of(1)
    measure(
        f"Phi-2 prefill, {rows} rows",
        lambda: model(inputs_embeds=prompt, past_key_values=cache, cache_position=positions, use_cache=True, logits_to_keep=1),
    )
    for batch, context in ((1, 64), (1, 900), (1, 2000), (2, 64), (4, 64), (8, 64)):
        ids = torch.zeros(batch, 1, dtype=torch.long, device="cuda")
        position = torch.tensor([context], device="cuda")
        cache = cache_of(batch)
        measure(
            "Phi-2 decode step",
            lambda: model(input_ids=ids, past_key_values=cache, cache_position=position, use_cache=True),
            batch=batch,
            context=context,
        )


def main():
    if "--lacks" in sys.argv[1:]:
        missing = lacks()
        print(missing)
        return 1 if missing else 0
    import torch
    import transformers

    say("versions", torch=torch.__version__, transformers=transformers.__version__, gpu=torch.cuda.get_device_name())
    torch.set_default_device("cuda")  # weights are made there
    torch.set_default_dtype(torch.float16)
    with torch.inference_mode():
        for part in (tower, decoder):
            try:
                part()
            except Exception as error:
                say(part.__name__, failed=f"{type(error).__name__}: {str(error).splitlines()[0][:160]}")
            torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
