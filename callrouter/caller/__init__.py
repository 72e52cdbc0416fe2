"""A telephone on the command line: places real calls over SIP and RTP, presses keys when it is its
turn, and says what it heard.  It shares the SIP and media rooms with the server and nothing else."""
