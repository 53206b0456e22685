# Stands in for cloud-init: writes the files, and the commands for later.
import os, yaml

with open("/run/user-data") as f:
    config = yaml.safe_load(f)
for file in config["write_files"]:
    os.makedirs(os.path.dirname(file["path"]), exist_ok=True)
    with open(file["path"], "w") as f:
        f.write(file["content"])
    os.chmod(file["path"], int(file.get("permissions", "0644"), 8))
with open("/run/runcmd", "w") as f:
    for command in config["runcmd"]:
        f.write(" ".join(command) + "\n")
