"""A demo of the model: type a text, see its label. ``python app.py`` starts it on this machine.

The model is looked for in this order: the environment variable MODEL_DIR, the folders ``model`` beside
this file and ``../model``, then MODEL_ID (environment or ``settings.json``) on the Hub. Nothing that is
typed is kept.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from inference import Model  # type: ignore[import-not-found, unused-ignore]

HERE = Path(__file__).resolve().parent
TOP_CLASSES = 5
MAX_CHARS = 10_000
WARNING = (
    "This text is unlike what the model was trained on (it knows only {:.0%} of the words): "
    "do not rely on the answer."
)


def settings() -> dict[str, Any]:
    """Title, description, family and the model's id on the Hub."""
    body: dict[str, Any] = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))
    return body


def find_model(model_id: str) -> Path:
    """The folder of the model. Raises SystemExit with what to do when there is none."""
    places = [Path(os.environ["MODEL_DIR"])] if os.environ.get("MODEL_DIR") else []
    for place in (*places, HERE / "model", HERE.parent / "model"):
        if (place / "inference.json").is_file():
            return place
    model_id = os.environ.get("MODEL_ID") or model_id
    if not model_id:
        raise SystemExit("Set MODEL_ID to the model's id on the Hub, or MODEL_DIR to its folder.")
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model_id))


def answerer(model: Model, family: str) -> Callable[[str], tuple[Any, str]]:
    """The function behind the button: text -> (what ``gr.Label`` shows, a warning or nothing)."""

    def answer(text: str) -> tuple[Any, str]:
        if not text.strip():
            return None, "Type a text first."
        said = model.predict([text[:MAX_CHARS]])[0]
        warning = WARNING.format(said.vocabulary_coverage) if said.unlike_training else ""
        if family == "regression":
            number = float(said.label)
            return (f"{number:.3f}" if math.isfinite(number) else "?"), warning
        return said.scores, warning

    return answer


def build(model: Model, texts: dict[str, Any]) -> gr.Blocks:
    """The page, with ``/predict`` as its endpoint for programs."""
    with gr.Blocks(title=texts["title"], analytics_enabled=False) as demo:
        gr.Markdown(f"# {texts['heading']}\n\n{texts['description']}")
        text = gr.Textbox(label="Text", lines=4, max_length=MAX_CHARS)
        button = gr.Button("Predict", variant="primary")
        label = gr.Label(label="Answer", num_top_classes=TOP_CLASSES)
        warning = gr.Textbox(label="Warning", interactive=False)
        answer = answerer(model, texts["family"])
        gr.on([button.click, text.submit], answer, text, [label, warning], api_name="predict")
    return demo


def main() -> None:
    texts = settings()
    build(Model.from_folder(find_model(texts["model_id"])), texts).launch()


if __name__ == "__main__":
    main()
