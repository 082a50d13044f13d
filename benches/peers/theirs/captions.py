"""Captions to the ids of word pieces by the Python package of Hugging Face's tokenizers."""

import json
import os
import time


def measure(arguments):
    """Times encoding all captions to a fixed length, as the other side does."""
    # Read once, when the package first encodes a batch.
    os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    from tokenizers import Tokenizer

    captions = json.loads((arguments.shared / "captions.json").read_text())
    tokenizer = Tokenizer.from_file(str(arguments.shared / "tokenizer.json"))
    tokenizer.enable_truncation(64)
    tokenizer.enable_padding(length=64)
    seconds = []
    for step in range(min(max(arguments.steps, 1), 20) + 1):
        start = time.perf_counter()
        batch = tokenizer.encode_batch_fast(captions, add_special_tokens=False)
        ids = [encoding.ids for encoding in batch]
        if step > 0:
            seconds.append(time.perf_counter() - start)
    assert len(ids) == len(captions)
    return {"seconds": seconds, "unit": "captions", "items": len(captions)}
