"""The same work for BentoML."""

import bentoml


@bentoml.service(workers=1)
class Sum:
    """Sums the request's numbers."""

    @bentoml.api
    def score(self, data: list[int]) -> int:
        """Sum."""
        return sum(data)
