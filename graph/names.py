"""Names that persisted runs remember. Renaming a value here is a migration."""

from __future__ import annotations

from enum import StrEnum

from remote.protocol import FailureKind

__all__ = ["DecisionKind", "EventType", "FailureKind", "RunStatus", "Stage", "TaskFamily"]


class Stage(StrEnum):
    INTAKE = "intake"
    RESEARCH = "research"
    CHOOSE_DATASET = "choose_dataset"
    AUDIT = "audit"
    WRITE_SCRIPT = "write_script"
    SMOKE_TEST = "smoke_test"
    REPAIR = "repair"
    BASELINES = "baselines"
    PLAN = "plan"
    APPROVE_COMPUTE = "approve_compute"
    LAUNCH = "launch"
    WATCH = "watch"
    RECOVER = "recover"
    EVALUATE = "evaluate"
    STRESS = "stress"
    PACKAGE = "package"
    APPROVE_PUBLISH = "approve_publish"
    PUBLISH = "publish"
    DONE = "done"
    NEEDS_HUMAN = "needs_human"
    CANCELLED = "cancelled"
    FAILED = "failed"


class RunStatus(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"  # for a person
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (RunStatus.DONE, RunStatus.FAILED, RunStatus.CANCELLED)


class EventType(StrEnum):
    RUN_STARTED = "run_started"
    STAGE_STARTED = "stage_started"
    STAGE_FINISHED = "stage_finished"
    TASK_UNDERSTOOD = "task_understood"
    CANDIDATES_FOUND = "candidates_found"
    PAPER_READ = "paper_read"
    DATA_CHOSEN = "data_chosen"
    PRIOR_RESULTS = "prior_results"
    AUDITED = "audited"
    SCRIPT_WRITTEN = "script_written"
    SMOKE_TESTED = "smoke_tested"
    REPAIRED = "repaired"
    BASELINES_MEASURED = "baselines_measured"
    PLANNED = "planned"
    QUESTION_ASKED = "question_asked"
    DECIDED = "decided"
    JOB_SUBMITTED = "job_submitted"
    JOB_PROGRESS = "job_progress"
    JOB_EPOCH = "job_epoch"
    JOB_WARNING = "job_warning"
    JOB_FAILED = "job_failed"
    RECOVERED = "recovered"
    TRAINED = "trained"
    EVALUATED = "evaluated"
    STRESSED = "stressed"
    PACKAGED = "packaged"
    PUBLISHED = "published"
    UNPUBLISHED = "unpublished"
    NOTE = "note"
    CANCEL_REQUESTED = "cancel_requested"
    ENDED = "ended"


class DecisionKind(StrEnum):
    CLARIFY = "clarify"
    DATASET = "dataset"
    COMPUTE = "compute"
    PUBLISH = "publish"
    HELP = "help"
    LLM = "llm"


class TaskFamily(StrEnum):
    BINARY = "binary"
    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"
    REGRESSION = "regression"
