"""Tells spam from other mail, by a classifier that is trained while the function is deployed.

`fetch.py` puts `mails.json` beside this file: real mails with their class, [text, is it spam]. The
training runs once, in the bake; a call asks the trained model that is in its image.
"""

import json

import faaslet
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline

FEATURES = 1 << 16


def train() -> Pipeline:
    """The model, from the mails that were deployed; these do not stay in the image."""
    mails = json.loads(faaslet.take("mails.json"))
    texts, classes = [text for text, _ in mails], [spam for _, spam in mails]
    words = HashingVectorizer(n_features=FEATURES, alternate_sign=False, decode_error="replace")
    model = Pipeline([("words", words), ("line", SGDClassifier(loss="log_loss", random_state=1))])
    model.fit(texts, classes)
    print(f"trained on {len(mails)} mails")
    return model


MODEL = train()


def handler(event: dict, context: faaslet.Context) -> dict:
    """Judges the event's `mails`, a list of texts."""
    probabilities = MODEL.predict_proba(event["mails"])[:, 1]
    return {"spam": [bool(p > 0.5) for p in probabilities], "probability": probabilities.round(4)}
