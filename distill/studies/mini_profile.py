"""The profile `mini`: what can be had without a hub, small enough for two cores."""

from typing import Any

from distill.studies.profile import Profile, Student, Task, Teacher

SPEECH = "speech:hibari+whisper-tiny.en"

_IN_PLACE = Teacher(
    fits=lambda identity: identity.backend == "speech",
    model=SPEECH,
    folder="data/shards/mini",
    wants="states of the embedded speech teacher",
    is_own=False,
)

# So few steps need a rate that rises first and falls to the end.
_FEW_ROWS = {"limit_train": 320, "batch_size": 8, "lr_schedule": "linear", "warmup": 0.1}

# Half of a model has to learn anew what the other half knew: as many rows as there are, twice as often.
_SHALLOW: dict[str, Any] = {"lr": 2e-4, "epochs": 4, "batch_size": 16, "limit_train": 500}

_SMOLLM2 = Student(
    path="data/models/smollm2-135m-instruct",
    made_by="make data",
    options={"lora_rank": 8, "epochs": 1},
    is_own=False,
)

MINI = Profile(
    name="mini",
    students={
        "bert-base": Student(
            path="data/models/minilm", made_by="make data", options={"lr": 2e-4}, is_own=False
        ),
        "bert-6l": Student(
            path="data/models/minilm-3l",
            made_by="make data and python data/first_layers.py data/models/minilm 3 data/models/minilm-3l",
            options=_SHALLOW,
            is_own=False,
        ),
        "llama-7b": _SMOLLM2,
        "llama-3.2-3b": _SMOLLM2,
    },
    tasks={
        "CoLA": Task(name="movie-sentiment", is_own=False),
        "SST-2": Task(name="movie-sentiment", is_own=False),
        "STS-B": Task(name="movie-rating", is_own=False),
        "COPA": Task(name="product-reviews", is_own=False),
        "MultiArith": Task(name="chain-sum", metric="exact_answer", is_own=False),
        "Dolly": Task(name="chain-sum", is_own=False),
    },
    teachers={"stable-diffusion-v1-4": _IN_PLACE, "text-to-audio": _IN_PLACE},
    options={
        "movie-sentiment": _FEW_ROWS,
        "movie-rating": _FEW_ROWS,
        "product-reviews": _FEW_ROWS,
        "chain-sum": {"limit_train": 128, "batch_size": 8, "max_new_tokens": 12},
    },
    rows={
        **dict.fromkeys(("movie-sentiment", "movie-rating", "product-reviews"), "--limit 800"),
        "chain-sum": "--limit 300",
    },
    remarks=(
        (
            "None of the paper's models, teachers or tasks is here: nothing below reproduces a number of the "
            "paper. It shows that every part works, and what this small world says of the paper's claims."
        ),
        (
            "MiniLM (6 layers, 22.7 M) stands for BERT-base, its first three layers for BERT-6L, "
            "SmolLM2-135M-Instruct with LoRA for LLaMA-7B and for LLaMA-3.2-3B. Nothing stands for DeBERTa, "
            "OPT and LLaMA-3.1-8B."
        ),
        (
            "The embedded speech teacher (hibari and Whisper tiny.en, 384 values) stands for Stable "
            "Diffusion and for the text-to-audio teacher. Nothing stands for Midjourney, text-to-video, "
            "ResNet-50 and SeqKD's LLaMA-8B."
        ),
        (
            "Film sentences with a label stand for CoLA and SST-2, their ratings for STS-B, product reviews "
            "for COPA, sums for MultiArith and Dolly; within one table no task stands twice."
        ),
        (
            "Caches of 800 rows (sums: 300). MiniLM sees 320 of them twice in batches of 8, its first three "
            "layers 500 four times in batches of 16, SmolLM2 128 sums once; the rate of the first two rises "
            "over a tenth of the steps and then falls, unlike the paper's. 145 to 163 rows are reported "
            "(sums: 60), so one row is 0.6 to 0.7 points (sums: 1.7). Three seeds."
        ),
    ),
)
