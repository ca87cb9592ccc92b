"""What a user has without us: Transformers' own Phi and SigLIP modules at Mipha-3B's sizes, random weights, FP16, in the same run as our figures.

pytorch.py           one line of JSON per figure: medians of repeated runs
pytorch.py --lacks   prints what is missing and ends with status 1, silent and 0 when nothing is
pytorch.py --small   small sizes on the CPU: shows that it runs through
"""

import importlib.util
import json
import statistics
import sys
import time

SMALL = "--small" in sys.argv[1:]
DEVICE = "cpu" if SMALL else "cuda"
REPEATS = 2 if SMALL else 9
PICTURE_ROWS, TEXT_ROWS = (64, 30) if SMALL else (729, 30)
CONTEXT = 128 if SMALL else 2048
STEPS = ((1, 31), (8, 31), (1, 100)) if SMALL else ((1, 64), (8, 64), (1, 900), (1, 2000), (2, 64), (4, 64))  # batch, rows before


def wait():
    import torch

    if not SMALL:
        torch.cuda.synchronize()


def lacks():
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        return " and ".join(missing)
    import torch

    return "" if torch.cuda.is_available() else "a GPU that torch can use"


def say(name, **facts):
    print(json.dumps({"step": "pytorch", "name": name, **facts}, separators=(",", ":")), flush=True)


def median_ms(run):
    for _ in range(3):
        run()
    taken = []
    for _ in range(REPEATS):
        wait()
        began = time.perf_counter()
        run()
        wait()
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken)


def as_graph(run):
    """A CUDA graph of run(), or run() itself and why."""
    import torch

    if SMALL:
        return run, "no graph on a CPU"
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
        wait()
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

    sizes = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26, "num_attention_heads": 16, "image_size": 384}  # Mipha takes the features before the last of 27 layers
    if SMALL:
        sizes = {"hidden_size": 144, "intermediate_size": 216, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 112}
    config = SiglipVisionConfig(patch_size=14, vision_use_head=False, **sizes)
    config._attn_implementation = "sdpa"
    model = SiglipVisionModel(config).eval()
    pixels = torch.randn(1, 3, config.image_size, config.image_size)
    measure("SigLIP tower, one picture", lambda: model(pixels))


def rewind(cache, length):
    """Newer versions of Transformers count the rows of a static cache themselves, on the device, and write behind them whatever they are told."""
    import torch

    counts = [layer.cumulative_length for layer in getattr(cache, "layers", []) if hasattr(layer, "cumulative_length")]
    if counts:
        torch._foreach_zero_(counts)
        torch._foreach_add_(counts, length)


def decoder():
    import torch
    from transformers import PhiConfig, PhiForCausalLM, StaticCache

    sizes = {"vocab_size": 51200, "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32, "num_attention_heads": 32}
    if SMALL:
        sizes = {"vocab_size": 512, "hidden_size": 160, "intermediate_size": 320, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = PhiConfig(partial_rotary_factor=0.4, max_position_embeddings=CONTEXT, **sizes)
    config._attn_implementation = "sdpa"
    model = PhiForCausalLM(config).eval()

    def cache_of(batch):
        try:
            return StaticCache(config, max_batch_size=batch, max_cache_len=CONTEXT, device=DEVICE, dtype=torch.float16)
        except TypeError:  # newer versions take the batch from the first call
            return StaticCache(config=config, max_cache_len=CONTEXT)

    rows = PICTURE_ROWS + TEXT_ROWS
    prompt = torch.randn(1, rows, config.hidden_size)
    positions = torch.arange(rows)
    cache = cache_of(1)

    def prefill():
        rewind(cache, 0)
        return model(inputs_embeds=prompt, past_key_values=cache, cache_position=positions, use_cache=True, logits_to_keep=1)

    measure(f"Phi-2 prefill, {rows} rows", prefill)
    for batch, context in STEPS:
        ids = torch.zeros(batch, 1, dtype=torch.long)
        position = torch.tensor([context])
        cache = cache_of(batch)

        def step():
            rewind(cache, context)
            return model(input_ids=ids, past_key_values=cache, cache_position=position, use_cache=True)

        measure("Phi-2 decode step", step, batch=batch, context=context)


def main():
    if "--lacks" in sys.argv[1:]:
        missing = lacks()
        print(missing)
        return 1 if missing else 0
    import torch
    import transformers

    say("versions", torch=torch.__version__, transformers=transformers.__version__, gpu="none" if SMALL else torch.cuda.get_device_name())
    torch.set_default_device(DEVICE)  # weights are made there
    torch.set_default_dtype(torch.float16)
    with torch.inference_mode():
        for part in (tower, decoder):
            try:
                part()
            except Exception as error:
                say(part.__name__, failed=f"{type(error).__name__}: {str(error).splitlines()[0][:160]}")
            if not SMALL:
                torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
