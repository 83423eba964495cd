"""The adapters that kguard ships, in the order of the reports."""

from kguard.running.contract import Adapter

from . import checkov, kube_linter, kube_score, kubescape, polaris, trivy

ADAPTERS: tuple[Adapter, ...] = (kube_linter, trivy, kubescape, polaris, checkov, kube_score)
