"""The same for BentoML."""

import bentoml

image = bentoml.images.Image(base_image="BASE_IMAGE", lock_python_packages=False).requirements_file(
    "requirements.txt"
)


@bentoml.service(name="score", image=image)
class Score:
    """Scores rows."""

    def __init__(self) -> None:
        """Load."""
        import score

        score.init()
        self.script = score

    @bentoml.api
    def score(self, data: str) -> list[float]:
        """One prediction a row."""
        return self.script.run(data)
