#!/usr/bin/env python3
"""peer_llama.py for prompts and contexts longer than its batch, which llama.cpp refuses to take at once: its batch is made
as long as the context. What is computed together, 512 tokens, stays as it is. Of its three repeats, which take a minute
each there, one is made: the script that calls it repeats the whole call.

usage: peer_long.py SHARED/bench/peer_llama.py speed MODEL.gguf --pp 4096 --depth 4096 ...
"""
import runpy, sys
import llama_cpp

init = llama_cpp.llama_init_from_model


def with_long_batch(model, params):
    params.n_batch = params.n_ctx
    return init(model, params)


llama_cpp.llama_init_from_model = with_long_batch
del sys.argv[0]
runpy.run_path(sys.argv[0], init_globals={"range": lambda *a: range(1) if a == (3,) else range(*a)}, run_name="__main__")
