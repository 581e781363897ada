from ubiops.utils.files.uri import UbiOpsFile as UbiOpsFile
