#!/usr/bin/python3
"""Fills the test cloud: users, endpoints, flavors, images, network, quotas.

    populate.py identities | computes N | contents

Everything is created only if it is missing.
"""

import os
import subprocess
import sys

import openstack

ADDR = "127.0.0.1"
PASSWORD = "labpass"
VOLUMES = os.environ.get("LAB_VOLUMES") == "1"


def identities(admin):
    ident = admin.identity
    domain = "default"

    def project(name):
        return ident.find_project(name) or ident.create_project(name=name, domain_id=domain)

    def user(name):
        return ident.find_user(name) or ident.create_user(name=name, password=PASSWORD, domain_id=domain)

    def role(name):
        return ident.find_role(name) or ident.create_role(name=name)

    def grant(project, user, role):
        ident.assign_project_role_to_user(project, user, role)

    service = project("service")
    admin_role, service_role, member = role("admin"), role("service"), role("member")
    for name in ("nova", "glance", "placement", "neutron", "cinder"):
        u = user(name)
        grant(service, u, admin_role)
        grant(service, u, service_role)
    for name in ("lab", "small"):
        grant(project(name), user("lab"), member)

    have = {s.type: s for s in ident.services()}
    endpoints = {(e.service_id, e.interface) for e in ident.endpoints()}
    for name, kind, url in (
        ("glance", "image", f"http://{ADDR}:{9292}"),
        ("placement", "placement", f"http://{ADDR}:{8778}"),
        ("nova", "compute", f"http://{ADDR}:{8774}/v2.1"),
        ("neutron", "network", f"http://{ADDR}:{9696}"),
        *([("cinderv3", "volumev3", f"http://{ADDR}:{8776}/v3/%(project_id)s")] if VOLUMES else []),
    ):
        s = have.get(kind) or ident.create_service(name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            if (s.id, interface) not in endpoints:
                ident.create_endpoint(service_id=s.id, interface=interface, url=url, region_id="RegionOne")


def computes(admin, number):
    up = {s.host for s in admin.compute.services(binary="nova-compute") if s.state == "up"}
    hypervisors = list(admin.compute.hypervisors())
    return len(up) >= number and len(hypervisors) >= number


def contents(admin):
    base = os.environ["LAB_DIR"]
    net = os.environ["LAB_NET"]
    nova, neutron = admin.compute, admin.network

    # Availability zones: "fake" (the default) and "real".
    aggregates = {a.name: a for a in nova.aggregates()}
    for s in nova.services(binary="nova-compute"):
        zone = "real" if s.host == "lab-real" else "fake"
        if zone not in aggregates:
            aggregates[zone] = nova.create_aggregate(name=zone, availability_zone=zone)
        if s.host not in (nova.get_aggregate(aggregates[zone].id).hosts or []):
            nova.add_host_to_aggregate(aggregates[zone].id, s.host)

    have = {f.name for f in nova.flavors()}
    for name, vcpus, ram, disk in (
        ("lab.tiny", 1, 512, 3),
        ("lab.1", 1, 1024, 4),
        ("lab.2", 2, 4096, 10),
        ("lab.4", 4, 8192, 20),
        ("lab.8", 8, 16384, 40),
        ("lab.16", 16, 32768, 80),
        ("lab.huge", 100000, 1024, 4),
    ):
        if name not in have:
            nova.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=disk)

    # Quotas: "lab" without limits that matter, "small" for quota errors.
    projects = {p.name: p for p in admin.identity.projects()}
    for name, q, nq, vq in (
        (
            "lab",
            {
                "instances": 1000,
                "cores": -1,
                "ram": -1,
                "key_pairs": 100,
                "metadata_items": 128,
                "server_groups": 50,
                "server_group_members": 100,
            },
            {"port": 3000, "network": 100, "subnet": 100, "security_group": 100, "security_group_rule": 1000},
            {"volumes": 1000, "gigabytes": -1},
        ),
        (
            "small",
            {"instances": 3, "cores": 6, "ram": 16384},
            {"port": 50, "security_group": 10},
            {"volumes": 2, "gigabytes": 100},
        ),
    ):
        admin.set_compute_quotas(projects[name].id, **q)
        admin.set_network_quotas(projects[name].id, **nq)
        if VOLUMES:
            admin.set_volume_quotas(projects[name].id, **vq)

    network = neutron.find_network("lab-net")
    if not network:
        network = neutron.create_network(name="lab-net", is_shared=True, project_id=projects["lab"].id)
    if not neutron.find_subnet("lab-subnet"):
        a, b, c = net.split(".")
        neutron.create_subnet(
            name="lab-subnet",
            network_id=network.id,
            ip_version=4,
            cidr=net + ".0/22",
            gateway_ip=net + ".1",
            is_dhcp_enabled=False,
            project_id=projects["lab"].id,
            allocation_pools=[{"start": net + ".10", "end": f"{a}.{b}.{int(c) + 3}.250"}],
        )

    # Floating IPs: addresses without traffic, as no agent moves any.
    external = neutron.find_network("lab-ext") or neutron.create_network(
        name="lab-ext", is_router_external=True, project_id=projects["admin"].id
    )
    if not neutron.find_subnet("lab-ext-subnet"):
        neutron.create_subnet(
            name="lab-ext-subnet",
            network_id=external.id,
            ip_version=4,
            cidr="172.30.0.0/24",
            is_dhcp_enabled=False,
            project_id=projects["admin"].id,
        )
    if not neutron.find_router("lab-router"):
        router = neutron.create_router(
            name="lab-router", project_id=projects["lab"].id, external_gateway_info={"network_id": external.id}
        )
        neutron.add_interface_to_router(router, subnet_id=neutron.find_subnet("lab-subnet").id)

    def image(name, path=None, **props):
        found = admin.image.find_image(name)
        if found:
            return found
        kwargs = {"container_format": "bare", "disk_format": "raw"}
        kwargs.update(props)
        print("image", name)
        return admin.create_image(name, filename=path, visibility="public", wait=True, validate_checksum=False, **kwargs)

    blank = os.path.join(base, "blank.raw")
    if not os.path.exists(blank):
        with open(blank, "wb") as f:
            f.write(b"\0" * 1048576)
    image("fake-image", blank, min_disk=1)
    root = os.path.join(base, "image", "rootfs.qcow2")
    if os.path.exists(root):
        d = os.path.dirname(root)
        kernel = image("debian-kernel", os.path.join(d, "vmlinuz"), container_format="aki", disk_format="aki")
        initrd = image("debian-initrd", os.path.join(d, "initrd.img"), container_format="ari", disk_format="ari")
        image(
            "debian",
            root,
            disk_format="qcow2",
            min_disk=2,
            meta={
                "kernel_id": kernel.id,
                "ramdisk_id": initrd.id,
                "os_command_line": "root=/dev/vda ro console=ttyS0 net.ifnames=0 systemd.show_status=false",
            },
        )

    lab = openstack.connect(cloud="lab")
    if not lab.network.find_security_group("lab-sg", project_id=projects["lab"].id):
        sg = lab.network.create_security_group(name="lab-sg", description="all ports")
        lab.network.create_security_group_rule(security_group_id=sg.id, direction="ingress", ethertype="IPv4")
    if not lab.compute.find_keypair("lab-key"):
        key = os.path.join(base, "lab_key")
        if not os.path.exists(key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", key], check=True)
        with open(key + ".pub") as f:
            lab.compute.create_keypair(name="lab-key", public_key=f.read().strip())


if __name__ == "__main__":
    admin = openstack.connect(cloud="lab-admin")
    if sys.argv[1] == "identities":
        identities(admin)
    elif sys.argv[1] == "computes":
        sys.exit(0 if computes(admin, int(sys.argv[2])) else 1)
    elif sys.argv[1] == "contents":
        contents(admin)
