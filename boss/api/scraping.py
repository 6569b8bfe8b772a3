"""Numbers for Prometheus, at the place where it looks: ``/metrics``, for whoever may look at anything."""

from fastapi import APIRouter, Response

from boss.api.house import TheHouse
from boss.api.roles import Guarded, needs
from boss.core.tokens import Role

router = APIRouter(tags=["look"], route_class=Guarded)


@router.get(
    "/metrics", openapi_extra=needs(Role.VIEWER), response_class=Response, responses={200: {"content": {"text/plain": {}}}}
)
def metrics(house: TheHouse) -> Response:
    """The boss's numbers in Prometheus' text format: queue, rates, latencies, workers, VMs, the loop."""
    text, kind = house.facts.metrics()
    return Response(text, media_type=kind)
