"""/v1/knowledge/bases/{base}/jobs: what is being read, and how it went."""

from typing import Any

from fastapi import APIRouter

from qingtan.knowledge.service import Knowledge
from qingtan.knowledge.shown import job_json, list_json
from qingtan.server.knowledge.tenant import Tenant
from qingtan.server.knowledge.threads import Threads

Json = dict[str, Any]


def job_routes(knowledge: Knowledge, threads: Threads) -> APIRouter:
    """Return the routes of jobs."""
    router = APIRouter(prefix="/bases/{base}/jobs")

    @router.get("")
    @threads.route()
    def list_jobs(base: str, tenant: Tenant) -> Json:
        """List the jobs, the latest first, without their reports."""
        return list_json([job_json(job) for job in knowledge.of(tenant).jobs(base)])

    @router.get("/{id}")
    @threads.route()
    def get_job(base: str, id: str, tenant: Tenant, report: bool = True) -> Json:
        """Return a job with its report, or without, for those who only follow it."""
        return job_json(knowledge.of(tenant).job(base, id), report)

    @router.post("/{id}/cancel")
    @threads.route()
    def cancel_job(base: str, id: str, tenant: Tenant) -> Json:
        """Cancel a job: what is in the base by now stays there."""
        return job_json(knowledge.of(tenant).cancel(base, id))

    return router
