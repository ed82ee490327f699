"""Which genres has a film? Its plot for the student, its poster beside it for the teacher.

The 23 genres of Arevalo et al. (2017), in the order of the alphabet; a film has several.
"""

from schemas.tasks.task import LabelKind, TaskSpec

MM_IMDB = TaskSpec(
    name="mm-imdb",
    fields=("plot",),
    label_kind=LabelKind.MULTI,
    classes=(
        "Action", "Adventure", "Animation", "Biography", "Comedy", "Crime", "Documentary", "Drama", "Family",
        "Fantasy", "Film-Noir", "History", "Horror", "Music", "Musical", "Mystery", "Romance", "Sci-Fi",
        "Short", "Sport", "Thriller", "War", "Western",
    ),
    metric="micro_f1",
    student_templates=("{plot}",),
    source="mm-imdb",
    templates={"instruction": "Which genres has the film with this plot and this poster?\n\n{plot}\nGenres:"},
)  # fmt: skip
