"""Documents to tf-idf features by scikit-learn, which has no threads for it."""

import json
import time

from sklearn.feature_extraction.text import TfidfVectorizer


def measure(arguments):
    """Times fitting and transforming all documents, as the other side does."""
    documents = json.loads((arguments.shared / "documents.json").read_text())
    seconds = []
    for step in range(min(max(arguments.steps, 1), 5) + 1):
        start = time.perf_counter()
        TfidfVectorizer().fit_transform(documents)
        if step > 0:
            seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "unit": "documents", "items": len(documents)}
