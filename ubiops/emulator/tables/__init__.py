"""The tables of the emulator's database."""

from ubiops.emulator.tables.accounts import (
    AccessToken,
    OrganizationUser,
    ProjectUser,
    Role,
    RoleAssignment,
    User,
)
from ubiops.emulator.tables.base import Base
from ubiops.emulator.tables.deployments import Build, Deployment, Revision, Variable, Version
from ubiops.emulator.tables.environments import Environment, EnvironmentBuild, EnvironmentSecret, EnvironmentTag
from ubiops.emulator.tables.history import AuditEvent, InstanceRun, LogLine, Measurement, ProjectEvent
from ubiops.emulator.tables.instances import InstanceTypeGroup
from ubiops.emulator.tables.metrics import Metric, Point, Series
from ubiops.emulator.tables.pipelines import Pipeline, PipelineObject, PipelineVersion
from ubiops.emulator.tables.projects import Organization, Project
from ubiops.emulator.tables.requests import (
    DeploymentRequest,
    NotificationGroup,
    OperatorRequest,
    PipelineRequest,
    Schedule,
)
from ubiops.emulator.tables.services import Service, ServiceLimit
from ubiops.emulator.tables.storage import Blob, Bucket, File, Part, Upload
from ubiops.emulator.tables.transfers import Transfer
from ubiops.emulator.tables.webhooks import Webhook, WebhookMessage, WebhookTest

__all__ = [
    "AccessToken",
    "AuditEvent",
    "Base",
    "Blob",
    "Bucket",
    "Build",
    "Deployment",
    "DeploymentRequest",
    "Environment",
    "EnvironmentBuild",
    "EnvironmentSecret",
    "EnvironmentTag",
    "File",
    "InstanceRun",
    "InstanceTypeGroup",
    "LogLine",
    "Measurement",
    "Metric",
    "NotificationGroup",
    "OperatorRequest",
    "Organization",
    "OrganizationUser",
    "Part",
    "Pipeline",
    "PipelineObject",
    "PipelineRequest",
    "PipelineVersion",
    "Point",
    "Project",
    "ProjectEvent",
    "ProjectUser",
    "Revision",
    "Role",
    "RoleAssignment",
    "Schedule",
    "Series",
    "Service",
    "ServiceLimit",
    "Transfer",
    "Upload",
    "User",
    "Variable",
    "Version",
    "Webhook",
    "WebhookMessage",
    "WebhookTest",
]
