"""The same work for functions-framework."""


def score(request):
    """Sum the request's numbers."""
    return {"sum": sum(request.get_json()["data"])}
