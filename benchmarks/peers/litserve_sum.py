"""The same work for LitServe."""

import sys

import litserve


class Sum(litserve.LitAPI):
    """Sums the request's numbers."""

    def setup(self, device):
        """Nothing to load."""

    def decode_request(self, request):
        """Take the numbers."""
        return request["data"]

    def predict(self, x):
        """Sum."""
        return sum(x)

    def encode_response(self, output):
        """Wrap."""
        return {"sum": output}


if __name__ == "__main__":
    server = litserve.LitServer(Sum(api_path="/score"), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
