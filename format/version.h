/* The version of the whole project: what the library, the command, provenance and pkg-config say. */
#ifndef ASHLAR_FORMAT_VERSION_H
#define ASHLAR_FORMAT_VERSION_H

#define ASHLAR_VERSION "0.1.0"

#endif
