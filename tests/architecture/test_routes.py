"""I-15: a route that can cause an effect goes through the checkpoint; nothing else exists."""

from pathlib import Path

import httpx2
import pytest

from quarterdeck.gateways.actions import ActionsGateway
from quarterdeck.gateways.llm.exchange import ModelGateway
from quarterdeck.gateways.llm.models import ModelList
from quarterdeck.gateways.llm.routes import Addressed
from quarterdeck.gateways.mcp.gateway import McpGateway
from quarterdeck.gateways.mcp.oauth import ResourceMetadata
from quarterdeck.gateways.plans import PlansGateway
from quarterdeck.gateways.routes import DataPlane
from tests.fleets import files
from tests.serving import running

#: What says where to sign in: it has no effect, and knows no run.
HARMLESS = ResourceMetadata


async def test_every_data_plane_endpoint_holds_a_checkpoint(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        from quarterdeck.assembly import application

        plane = application(server.house)
        assert isinstance(plane, DataPlane)
        for endpoint in plane.endpoints.values():
            owner = getattr(endpoint, "__self__", endpoint)
            owner = owner.gateway if isinstance(owner, Addressed) else owner
            if isinstance(owner, HARMLESS):
                continue
            kinds = ModelGateway | ActionsGateway | PlansGateway | McpGateway | ModelList
            assert isinstance(owner, kinds), owner
            assert owner.checkpoint is server.house.checkpoint


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/openai/v1/assistants"),
        ("POST", "/openai/v1/chat/completions/"),
        ("GET", "/openai/v1/files"),
        ("DELETE", "/openai/v1/chat/completions"),
        ("POST", "/anthropic/v1/messages/batches"),
        ("POST", "/anthropic/v1/complete"),
        ("POST", "/azure/openai/threads"),
        ("POST", "/azure/openai/deployments/a/b/chat/completions"),
        ("GET", "/gemini/v1beta/files/abc"),
        ("POST", "/gemini/v2/models/m:generateContent"),
        ("POST", "/gemini/v1beta/models/m:embedContent"),
        ("GET", "/bedrock/foundation-models"),
        ("POST", "/bedrock/model/m/async-invoke"),
        ("GET", "/bedrock/model/m/converse"),
    ],
)
async def test_other_routes_do_not_exist(tmp_path: Path, method: str, path: str) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        async with httpx2.AsyncClient(base_url=server.url) as client:
            headers = {"authorization": f"Bearer {run.credential}"}
            answer = await client.request(method, path, headers=headers)
        assert answer.status_code in (404, 405)
        said = answer.json()
        assert "error" in said or "__type" in said, "in the vendor's own envelope"
        assert await server.actions(run.id) == []
