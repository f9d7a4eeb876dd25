"""Any image of the documented contract is driven by the same steps: shown with one that is not ours."""

import json

import pytest
from jobs import sending

pytestmark = pytest.mark.engine


def test_foreign_image_with_a_flaw_is_recorded_tested_and_fails_the_build(
    fastci_docker, engine, standin_image, target, cloud
):
    done = fastci_docker(
        "run", "--image", standin_image, "--target-uri", target.url, "--test-run-name", "night",
        "--", *sending(f"{target.url}/sql?q=1", f"{target.url}/safe?q=2"),
        WALLARM_API_TOKEN="secret-token", WALLARM_API_HOST=cloud.host,
    )  # fmt: skip
    assert done.status == 1, done
    (report,) = fastci_docker.workspace.reports.glob("night.*.json")
    assert json.loads(report.read_text())["vulns"][0]["url"] == f"{target.url}/sql?q=1"
    assert cloud.tokens == {"secret-token"}
    assert "secret-token" not in done.text
    assert fastci_docker.nodes(engine) == []
