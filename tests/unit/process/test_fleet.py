"""What workers are given of the configuration."""

from asgiserver.config.fields import Config
from asgiserver.config.options import FIELDS
from asgiserver.process.fleet import config_of_worker


def test_a_worker_does_not_do_once_more_what_the_supervisor_does():
    config = Config(
        "app:app",
        workers=4,
        run_once="app:migrate",
        pid="server.pid",
        user="nobody",
        group="nobody",
        ready_file="ready.json",
        drain_delay=5,
        limit_concurrency=7,
        reload=True,
    )
    given = config_of_worker(config, "app:app")
    assert given == Config("app:app", limit_concurrency=7, reload=True)


def test_workers_spare_the_collector_what_their_start_has_made_unless_told_otherwise():
    assert config_of_worker(Config("app:app", workers=2), "app:app").gc == "freeze"
    assert config_of_worker(Config("app:app", workers=2, gc="default"), "app:app").gc == "default"


def test_what_is_for_the_supervisor_alone_is_about_processes_or_sockets():
    groups = {option.info.group for option in FIELDS.values() if not option.info.in_workers}
    assert groups == {"Processes", "Listening", "Diagnosis", "Admin"}
