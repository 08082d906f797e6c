#!/usr/bin/env python3
"""Writes a Hugging Face Llama checkpoint in BF16 as a GGUF, so that llama.cpp can be measured on the same weights.

usage: peer_gguf.py FOLDER OUT.gguf      needs: pip install gguf numpy
"""
import json, os, struct, sys
import gguf, numpy as np

NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm"}
TOP = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}


def tensors(folder):
    for file in sorted(f for f in os.listdir(folder) if f.endswith(".safetensors")):
        with open(os.path.join(folder, file), "rb") as f:
            size = struct.unpack("<Q", f.read(8))[0]
            header = json.loads(f.read(size))
            for name, t in header.items():
                if name == "__metadata__":
                    continue
                f.seek(8 + size + t["data_offsets"][0])
                data = np.frombuffer(f.read(t["data_offsets"][1] - t["data_offsets"][0]), np.uint16)
                yield name, data.reshape(t["shape"])


def gguf_name(name):
    if name in TOP:
        return TOP[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def main(folder, out):
    config = json.load(open(os.path.join(folder, "config.json")))
    tokenizer = json.load(open(os.path.join(folder, "tokenizer.json")))
    heads, kv, hd = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    w = gguf.GGUFWriter(out, "llama")
    w.add_context_length(config["max_position_embeddings"]); w.add_embedding_length(config["hidden_size"])
    w.add_block_count(config["num_hidden_layers"]); w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(heads); w.add_head_count_kv(kv); w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_rope_freq_base(config["rope_parameters"]["rope_theta"]); w.add_rope_dimension_count(hd); w.add_vocab_size(config["vocab_size"])
    tokens = {i: t for t, i in tokenizer["model"]["vocab"].items()}
    special = {t["id"]: t["content"] for t in tokenizer["added_tokens"]}
    every = [special.get(i) or tokens.get(i) or f"<unused{i}>" for i in range(config["vocab_size"])]
    w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre("llama-bpe"); w.add_token_list(every)
    w.add_token_types([3 if i in special else 1 for i in range(len(every))])
    w.add_token_merges([" ".join(m) for m in tokenizer["model"]["merges"]])
    w.add_bos_token_id(config["bos_token_id"]); w.add_eos_token_id(config["eos_token_id"])
    for name, data in tensors(folder):
        key = gguf_name(name)
        if data.ndim == 1:
            w.add_tensor(key, (data.astype(np.uint32) << 16).view(np.float32))
            continue
        if "attn_q." in key or "attn_k." in key:  # GGUF keeps a rotation pair's rows adjacent
            n = heads if "attn_q." in key else kv
            data = data.reshape(n, 2, hd // 2, data.shape[1]).swapaxes(1, 2).reshape(data.shape)
        w.add_tensor(key, np.ascontiguousarray(data).view(np.uint8).reshape(data.shape[0], -1), raw_dtype=gguf.GGMLQuantizationType.BF16)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
