//! Tables for Python: repositories as small texts, and the lines of the Dockerfile that matter.

use super::*;
use crate::stack::folder::snapshot_of;
use crate::stack::step::{assert_sound, command_of};

fn found(files: &[(&str, &str)], root: &str) -> Result<Written, StackError> {
    find(&snapshot_of(files), &root.parse().expect("a path")).expect("is Python")
}

fn written(files: &[(&str, &str)]) -> Written {
    found(files, ".").expect("is clear")
}

fn error(files: &[(&str, &str)]) -> String {
    found(files, ".").expect_err("is unclear").to_string()
}

const FASTAPI: &str =
    "from fastapi import FastAPI\n\napp = FastAPI()\n\n@app.get(\"/health\")\ndef health(): pass\n";

#[test]
fn fastapi_with_uv() {
    let pyproject =
        "[project]\nname = \"x\"\nrequires-python = \">=3.11\"\ndependencies = [\"fastapi\", \"uvicorn\"]\n";
    let written = written(&[("pyproject.toml", pyproject), ("uv.lock", ""), ("app/main.py", FASTAPI)]);
    assert_eq!(written.stack, "Python 3.12, uv, FastAPI");
    assert_eq!((written.port, written.health.as_deref()), (8000, Some("/health")));
    assert_sound(
        &written.dockerfile,
        &[
            "FROM python:3.12-slim-bookworm AS build",
            "--mount=type=cache,target=/root/.cache/pip pip install 'uv>=0.5,<1'",
            "COPY pyproject.toml uv.lock ./",
            "--mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-install-workspace",
            "COPY . ./",
            "FROM python:3.12-slim-bookworm AS run",
            "UVICORN_HOST=0.0.0.0 UVICORN_PORT=8000",
            "COPY --from=build /opt/venv /opt/venv",
            "EXPOSE 8000",
        ],
    );
    assert_eq!(command_of(&written.dockerfile), ["uvicorn", "app.main:app"]);
    assert!(!written.dockerfile.contains("--no-editable"), "{}", written.dockerfile);
}

#[test]
fn a_package_is_installed_with_uv_and_src_is_on_the_path() {
    let pyproject =
        "[project]\nname = \"x\"\ndependencies = [\"fastapi[standard]\"]\n[build-system]\nrequires = []\n";
    let files = [("pyproject.toml", pyproject), ("uv.lock", ""), ("src/shop/main.py", FASTAPI)];
    let written = written(&files);
    assert_sound(
        &written.dockerfile,
        &["--no-install-workspace", "COPY . ./", "--no-editable", "PYTHONPATH=/app/src"],
    );
    assert_eq!(command_of(&written.dockerfile), ["uvicorn", "shop.main:app"]);
}

const MANAGE: &str = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings.local')\n";

#[test]
fn django_with_pip() {
    let written = written(&[
        ("requirements.txt", "Django==5.1\ngunicorn>=22 # server\npsycopg2==2.9\n"),
        ("runtime.txt", "python-3.11.9\n"),
        ("manage.py", MANAGE),
        ("config/wsgi.py", ""),
        ("other/wsgi.py", ""),
        ("config/settings/base.py", "STATIC_ROOT = BASE_DIR / 'static'\n"),
    ]);
    assert_eq!(written.stack, "Python 3.11, pip, Django");
    assert_sound(
        &written.dockerfile,
        &[
            "FROM python:3.11-slim-bookworm AS build",
            "build-essential libpq-dev",
            "python -m venv /opt/venv",
            "COPY requirements.txt ./",
            "--mount=type=cache,target=/root/.cache/pip pip install --requirement requirements.txt",
            "COPY . ./",
            "SECRET_KEY=build-only",
            "manage.py collectstatic --noinput",
            "AS run",
            "useradd --uid 1001",
            "libpq5",
        ],
    );
    let (_, last) = written.dockerfile.split_once("AS run").expect("has a last stage");
    assert!(!last.contains("SECRET_KEY"), "{last}");
    assert_eq!(command_of(&written.dockerfile), ["gunicorn", "config.wsgi:application"]);
    assert!(written.notes.iter().any(|note| note.contains("whitenoise")), "{:?}", written.notes);
}

#[test]
fn flask_with_poetry_and_with_its_own_server() {
    let pyproject = |server: &str| {
        format!(
            "[tool.poetry]\nname = \"x\"\n[tool.poetry.dependencies]\npython = \"~3.13\"\nflask = \"^3\"\n{server}"
        )
    };
    let app = "import flask\napp = flask.Flask(__name__)\n";
    let with = pyproject("gunicorn = \"*\"\n");
    let files = [("pyproject.toml", with.as_str()), ("poetry.lock", ""), ("shop/__init__.py", app)];
    let gunicorn = written(&files);
    assert_eq!(gunicorn.stack, "Python 3.13, Poetry, Flask");
    assert_sound(
        &gunicorn.dockerfile,
        &[
            "FROM python:3.13-slim-bookworm AS build",
            "pip install 'poetry>=2,<3'",
            "COPY pyproject.toml poetry.lock ./",
            "target=/root/.cache/pypoetry poetry install --only main --no-root",
            "COPY . ./",
        ],
    );
    assert_eq!(command_of(&gunicorn.dockerfile), ["gunicorn", "shop:app"]);
    let without = pyproject("");
    let files = [("pyproject.toml", without.as_str()), ("poetry.lock", ""), ("app.py", app)];
    let own = written(&files);
    assert_eq!(command_of(&own.dockerfile), ["flask", "--app", "app:app", "run"]);
    assert_sound(&own.dockerfile, &["FLASK_RUN_HOST=0.0.0.0 FLASK_RUN_PORT=5000", "EXPOSE 5000"]);
    assert_eq!(own.port, 5000);
}

#[test]
fn a_folder_of_a_repository() {
    let files = [
        ("apps/api/requirements.txt", "flask\ngunicorn\n"),
        ("apps/api/app.py", "def create_app():\n    pass\n"),
        ("package.json", "{}"),
    ];
    let written = found(&files, "apps/api").expect("is clear");
    assert_sound(&written.dockerfile, &["COPY apps/api/requirements.txt ./", "COPY apps/api ./"]);
    assert_eq!(command_of(&written.dockerfile), ["gunicorn", "app:create_app()"]);
}

#[test]
fn a_list_that_names_files_copies_them_first() {
    let written = written(&[
        ("requirements/production.txt", "-r base.txt\ngunicorn\n"),
        ("requirements/base.txt", "flask\ngit+https://example.org/x\n"),
        ("app.py", "app = Flask(__name__)\n"),
    ]);
    assert_eq!(written.stack, "Python 3.12, pip, Flask");
    assert_sound(
        &written.dockerfile,
        &[
            "--no-install-recommends git",
            "COPY . ./",
            "pip install --requirement requirements/production.txt",
        ],
    );
}

#[test]
fn no_dependencies() {
    let written = written(&[("main.py", "if path == '/healthz': pass"), (".python-version", "3.13.1\n")]);
    assert_eq!(written.stack, "Python 3.13");
    assert_eq!(written.health.as_deref(), Some("/healthz"));
    assert_sound(&written.dockerfile, &["COPY . ./", "COPY --from=build /app ./"]);
    assert_eq!(command_of(&written.dockerfile), ["python", "main.py"]);
}

#[test]
fn what_is_not_python() {
    let others: [&[(&str, &str)]; 4] = [
        &[("package.json", "{}")],
        &[("pyproject.toml", "[tool.ruff]\nline-length = 100\n"), ("package.json", "{}")],
        &[("Cargo.toml", ""), ("main.py", "")],
        &[],
    ];
    for files in others {
        assert!(find(&snapshot_of(files), &RelativePath::here()).is_none(), "{files:?}");
    }
}

#[test]
fn what_is_unclear() {
    let flask = ("requirements.txt", "flask\n");
    let table: [(&[(&str, &str)], &str); 9] = [
        (&[("Pipfile", "")], "pipenv requirements > requirements.txt"),
        (&[("pyproject.toml", "[project\n")], "cannot be read"),
        (&[("pyproject.toml", "[tool.poetry]\nname = \"x\"\n")], "poetry lock"),
        (&[("requirements.txt", "django\n"), ("manage.py", MANAGE)], "add gunicorn"),
        (&[("requirements.txt", "fastapi\n"), ("main.py", FASTAPI)], "add uvicorn"),
        (&[flask], "no file makes one"),
        (&[flask, ("a/app.py", "app = Flask()"), ("b/app.py", "app = Flask()")], "a.app and b.app"),
        (&[flask, (".python-version", "3.12\\\nRUN x")], "is no version of Python"),
        (
            &[flask, ("pyproject.toml", "[project]\nrequires-python = \">=3.99\"\n")],
            "no image of Python answers",
        ),
    ];
    for (files, part) in table {
        let error = error(files);
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

#[test]
fn names_of_files_do_not_reach_the_dockerfile() {
    let odd = "a b;\nRUN x/main.py";
    let error = error(&[("requirements.txt", "fastapi\nuvicorn\n"), (odd, FASTAPI)]);
    assert!(error.contains("no file makes one"), "{error}");
}
