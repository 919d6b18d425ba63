"""What the requests of schemathesis are changed by, lest the machine of the tests suffer.

A backup is made wherever its sender says. Every absolute path is put below a folder of the test,
and what was made there is removed again, for the next one may name it too.
"""

import os
from pathlib import Path
from typing import Any

import schemathesis

FOLDER = Path(os.environ["QUARTERDECK_TEST_BACKUPS"])


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Keep backups where they can do no harm."""
    if case.path == "/v1/backups" and isinstance(case.body, dict):
        file = case.body.get("file")
        if isinstance(file, str) and file.startswith("/"):
            case.body = {**case.body, "file": f"{FOLDER}/{file.lstrip('/').replace('..', '__')}"}


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Remove what a backup left."""
    if case.path == "/v1/backups" and response.status_code == 201:
        made = Path(response.json()["file"])
        assert FOLDER in made.parents, made
        made.unlink()
        made.with_name(f"{made.name}.json").unlink()
