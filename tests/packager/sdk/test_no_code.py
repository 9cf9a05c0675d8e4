"""No-code deployment as SDK v1 had it: a registered model, and no inference configuration."""

from __future__ import annotations

import json

import numpy as np
import pytest
import trained_models as trained
from trained_models import ROWS

from fnpack import LocalWebservice, Model, package_blob

pytestmark = pytest.mark.timeout(300)


def test_model_is_deployed_without_a_configuration(workspace, project) -> None:
    path = trained.pickled(project)
    model = Model.register(
        workspace,
        str(path),
        "flowers",
        model_framework=Model.Framework.SCIKITLEARN,
        model_framework_version="1.7.2",
    )
    local = LocalWebservice.deploy_configuration()
    service = Model.deploy(workspace, "flowers", [model], deployment_config=local)
    service.wait_for_deployment(timeout_sec=120)
    expected = trained.classifier()
    assert service.run(json.dumps({"data": ROWS})) == expected.predict(ROWS).tolist()
    found = service.run(json.dumps({"data": ROWS, "method": "predict_proba"}))
    np.testing.assert_allclose(np.array(found), expected.predict_proba(ROWS))
    service.reload(wait=True)
    assert service.run(json.dumps({"data": ROWS[:1]})) == expected.predict(ROWS[:1]).tolist()
    service.update(models=[str(trained.lightgbm_file(project))], wait=True)
    assert np.array(service.run(json.dumps({"data": ROWS}))).shape == (len(ROWS),)


def test_package_needs_no_configuration(workspace, project) -> None:
    model = Model.register(workspace, str(trained.pickled(project)), "flowers")
    made = package_blob(workspace, [model], generate_dockerfile=True)
    made.wait_for_creation()
    assert (
        "No entry script: the built-in one for scikit-learn 1.7.2 (Pipeline, 4 features)" in made.get_logs()
    )
    made.save("saved")
    assert [path.name for path in (project / "saved").rglob("score.py")] == ["score.py"]
