-- Gives back the lease of the holder ARGV[1] with the fence ARGV[2], if it is the one in force.
-- The fence stays, for the next to count on from.
local lease = redis.call('HMGET', KEYS[1], 'holder', 'fence')
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] then
  return 0
end
redis.call('HDEL', KEYS[1], 'holder', 'until')
return 1
