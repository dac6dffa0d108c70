-- The generation and the record, or the record's size where that is above ARGV[1]: nothing of
-- ours is so large, and it is not worth sending.
local size = redis.call('HSTRLEN', KEYS[1], 'record')
if size > tonumber(ARGV[1]) then
  return size
end
return redis.call('HMGET', KEYS[1], 'generation', 'record')
