"""The adapters that kguard ships, in the order of the reports."""

from kguard.running.contract import Adapter

from . import kube_linter, kubescape, polaris, trivy

ADAPTERS: tuple[Adapter, ...] = (kube_linter, trivy, kubescape, polaris)
