"""Calls every endpoint of the simulator with python-gitlab and checks types and values."""

import io
import json
import sys
import zipfile
from datetime import datetime

import gitlab

about = json.loads(sys.argv[1])
gl = gitlab.Gitlab(about["url"], private_token=about["token"], retry_transient_errors=False)


def is_time(text):
    return text.endswith("Z") and datetime.fromisoformat(text.replace("Z", "+00:00"))


# The instance and the token.
gl.auth()
assert gl.user.username == "ana" and isinstance(gl.user.id, int)
assert gl.version()[0].endswith("-ee"), gl.version()
assert gl.http_get("/metadata")["enterprise"] is True
own = gl.personal_access_tokens.get("self")
assert own.scopes == ["api", "read_user"] and own.expires_at == "2199-01-02" and own.active is True

# The project, by number and by path.
project = gl.projects.get(about["project"])
assert gl.projects.get("shop/checkout").id == project.id == about["project"]
assert project.default_branch == "main" and project.visibility == "private"
assert project.web_url == about["url"] + "/shop/checkout"

# Refs.
assert project.branches.get("main").protected is True
assert project.branches.get("feature/x").commit["id"] == about["sha"]
assert sorted(branch.name for branch in project.branches.list(get_all=True)) == ["feature/x", "main"]
tag = project.tags.get("release/1.0")
assert tag.commit["id"] == tag.target == about["sha"] and tag.protected is False
commit = project.commits.get(about["sha"])
assert commit.title == "A feature" and commit.last_pipeline["source"] == "push"
assert datetime.fromisoformat(commit.committed_date).utcoffset() is not None

# Pipelines: pages, filters, a single one.
every = project.pipelines.list(get_all=True)
assert len(every) == 25 and [row.id for row in every] == sorted((row.id for row in every), reverse=True)
lazy = project.pipelines.list(iterator=True, per_page=10)
assert lazy.total == 25 and lazy.total_pages == 3 and len(list(lazy)) == 25
assert [row.id for row in project.pipelines.list(ref="main")] == [about["pipeline"]]
assert project.pipelines.list(status="manual", ref="main", iterator=True).total == 1
assert project.pipelines.list(source="parent_pipeline")[0].id == about["child"]
pipeline = project.pipelines.get(about["pipeline"])
assert pipeline.status == "manual" and pipeline.before_sha == "0" * 40 and is_time(pipeline.created_at)
assert pipeline.user["username"] == "ana" and pipeline.detailed_status["group"] == "manual"
assert project.pipelines.latest(ref="feature/x").status == "success"
assert pipeline.bridges.list()[0].downstream_pipeline["id"] == about["child"]
summary = pipeline.test_report_summary.get()
assert summary.total["count"] == 13 and summary.test_suites[0]["build_ids"] == [about["test"]]

# Jobs: of a pipeline, of the project (without totals, and by keyset), a single one.
jobs = {job.name: job for job in pipeline.jobs.list(get_all=True)}
assert {name: job.status for name, job in jobs.items()} == {
    "test": "success", "package": "success", "approve": "manual", "after": "created",
}
assert [job.name for job in pipeline.jobs.list(scope=["manual"])] == ["approve"]
assert len(project.jobs.list(get_all=True)) == 29
assert len(project.jobs.list(get_all=True, pagination="keyset", order_by="id", per_page=10)) == 29
assert project.jobs.list(iterator=True).total is None
package = project.jobs.get(about["package"])
assert package.artifacts_file["filename"] == "artifacts.zip" and is_time(package.artifacts_expire_at)
assert isinstance(package.duration, float) and not hasattr(package, "failure_reason")
assert {file["file_type"] for file in package.attributes["artifacts"]} >= {"archive", "trace"}

# Artifacts: archives and single files.
archive = package.artifacts()
assert len(archive) == package.artifacts_file["size"]
assert zipfile.ZipFile(io.BytesIO(archive)).read("dist/api.zip") == b"the function"
assert package.artifact("dist/api.zip") == b"the function"
try:
    package.artifact("dist/none")
    raise AssertionError("a missing file was found")
except gitlab.exceptions.GitlabGetError as error:
    assert error.response_code == 404

# Job actions.
approve = project.jobs.get(about["approve"])
assert approve.user["username"] == "ana" and approve.started_at is None
presser = gitlab.Gitlab(about["url"], private_token=about["bot_token"])
presser.projects.get(project.id).jobs.get(approve.id).play()
pressed = project.jobs.get(approve.id)
assert pressed.user["username"] == "release-bot" and pressed.user["bot"] is True
assert pressed.created_at == approve.created_at
assert project.jobs.get(approve.id).status == "pending"
assert project.pipelines.get(pipeline.id).status == "running"
again = project.jobs.get(about["test"]).retry()
assert again["id"] > about["test"]
project.jobs.get(approve.id).cancel()
assert project.jobs.get(approve.id).status == "canceled"
try:
    project.jobs.get(about["test"]).retry()
    raise AssertionError("a job was retried twice")
except gitlab.exceptions.GitlabJobRetryError as error:
    assert error.response_code == 403 and "not retryable" in error.error_message
project.jobs.get(about["package"]).erase()
assert project.jobs.get(about["package"]).attributes["artifacts"] == []
project.pipelines.get(pipeline.id).cancel()

# Users: bots, missing users, and reads without a token.
assert gl.users.get(about["ana"]).bot is False and gl.users.get(about["bot"]).bot is True
try:
    gl.users.get(1)
    raise AssertionError("a missing user was found")
except gitlab.exceptions.GitlabGetError as error:
    assert error.error_message == "404 User Not Found"
try:
    gitlab.Gitlab(about["url"]).users.get(about["ana"])
    raise AssertionError("an anonymous caller read a user")
except gitlab.exceptions.GitlabGetError as error:
    assert error.response_code == 403

# Endpoints that python-gitlab has no method for.
periods = gl.http_list(f"/projects/{project.id}/freeze_periods", get_all=True)
assert [period["id"] for period in periods] == about["freeze_periods"]
assert periods[0]["freeze_start"] == "0 23 * * 5" and periods[0]["freeze_end"] == "0 7 * * 1"
assert [period["cron_timezone"] for period in periods] == ["UTC", "Pacific Time (US & Canada)"]
assert is_time(periods[0]["created_at"]) and is_time(periods[0]["updated_at"])
assert gl.http_get(f"/projects/{project.id}/freeze_periods/{periods[1]['id']}") == periods[1]

# Refusals.
try:
    gl.projects.get("shop/none")
    raise AssertionError("a missing project was found")
except gitlab.exceptions.GitlabGetError as error:
    assert error.error_message == "404 Project Not Found"
try:
    gitlab.Gitlab(about["url"], private_token="glpat-wrong").auth()
    raise AssertionError("a wrong token was taken")
except gitlab.exceptions.GitlabAuthenticationError:
    pass

print("done")
